//! Scripts as they are sent: parsed, and printed again without what only people read. What is no JavaScript stops the build here.

use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_compat::EngineTargets;
use oxc_minifier::{CompressOptions, MangleOptions, Minifier, MinifierOptions};
use oxc_parser::Parser;
use oxc_span::SourceType;

/// Nothing is written in words younger than these, however short: phones are old. What a source itself says stays said.
const LANGUAGE: &str = "es2020";

pub fn script(name: &str, source: &str) -> String {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, SourceType::mjs()).parse();
    assert!(parsed.diagnostics.is_empty(), "static/{name}: {:?}", parsed.diagnostics);
    let mut program = parsed.program;
    let target = EngineTargets::from_target(LANGUAGE).expect("a year that is known");
    let options = MinifierOptions {
        mangle: Some(MangleOptions { top_level: Some(true), ..MangleOptions::default() }),
        compress: Some(CompressOptions { target, ..CompressOptions::smallest() }),
        ..MinifierOptions::default()
    };
    let short = Minifier::new(options).minify(&allocator, &mut program);
    Codegen::new().with_options(CodegenOptions::minify()).with_scoping(short.scoping).build(&program).code
}
