//! The server with its planted mistakes, as `groundswell::planted` has them. An example, because those are in no release and no image.

#[path = "../../src/main.rs"]
mod server;

fn main() -> std::process::ExitCode {
    server::main()
}
