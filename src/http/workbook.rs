//! Results as a workbook: a sheet for each poll, with numbers that are numbers and a chart. Made in memory, because even a hundred polls
//! of a hundred choices are less than a megabyte; ballots, which may be millions, are `ballots.csv`.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpResponse, get};
use rust_xlsxwriter::{Chart, ChartType, Format, Workbook, Worksheet, XlsxError};

use super::export::{LanguageQuery, Report, RoundAndLanguageQuery, report};
use super::office::private;
use super::phrases::{Phrases, phrases};
use super::sessions::Owner;
use super::site::Site;
use crate::domain::PollState;
use crate::error::{Error, Result};

const CONTENT_TYPE: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
/// The name of a sheet, by the format's own rule.
const SHEET_NAME_CHARS_MAX: usize = 31;
const TEXT_WIDTH: f64 = 60.0;

#[get("/api/v1/polls/{poll}/results.xlsx")]
pub async fn of_poll(_owner: Owner, site: Data<Site>, poll: Path<String>, query: Query<RoundAndLanguageQuery>) -> Result<HttpResponse> {
    let report = report(&site, &poll, query.round).await?;
    let name = format!("poll-{}-round-{}.xlsx", report.poll.id, report.poll.round);
    answer(vec![report], phrases(query.lang.as_deref()), &name).await
}

/// All polls that were opened, each with its newest round.
#[get("/api/v1/events/{event}/results.xlsx")]
pub async fn of_event(_owner: Owner, site: Data<Site>, event: Path<String>, query: Query<LanguageQuery>) -> Result<HttpResponse> {
    let event = site.store.event(event.parse()?).await?;
    let mut reports = Vec::new();
    for poll in event.polls.iter().filter(|p| p.state != PollState::Draft) {
        reports.push(report(&site, &poll.id.to_string(), None).await?);
    }
    answer(reports, phrases(query.lang.as_deref()), &format!("event-{}.xlsx", event.code.as_str())).await
}

async fn answer(reports: Vec<Report>, words: &'static Phrases, name: &str) -> Result<HttpResponse> {
    // Compressing takes a while, and votes are answered on this thread.
    let bytes = actix_web::web::block(move || workbook(&reports, words)).await.map_err(Error::internal)?.map_err(Error::internal)?;
    let disposition = format!("attachment; filename=\"{name}\"");
    Ok(private(HttpResponse::Ok()).content_type(CONTENT_TYPE).insert_header(("Content-Disposition", disposition)).body(bytes))
}

fn workbook(reports: &[Report], words: &Phrases) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    for (at, report) in reports.iter().enumerate() {
        let sheet = book.add_worksheet();
        sheet.set_name(sheet_name(at, &report.poll.question))?.set_right_to_left(words.direction == "rtl");
        fill(sheet, report, words)?;
    }
    if reports.is_empty() {
        // A workbook has at least one sheet.
        book.add_worksheet().write_string(0, 0, words.nothing_yet)?;
    }
    book.save_to_buffer()
}

/// Every text is written as text, so none of it is a formula.
fn fill(sheet: &mut Worksheet, report: &Report, words: &Phrases) -> Result<(), XlsxError> {
    const FIRST: u32 = 4;
    let (bold, large, share, wrapped) =
        (Format::new().set_bold(), Format::new().set_bold().set_font_size(14), Format::new().set_num_format("0%"), Format::new().set_text_wrap());
    let Report { poll, counted, .. } = report;
    let voters = counted.result.voters;
    sheet.set_column_width(0, TEXT_WIDTH)?.set_column_width(1, 14)?.set_column_width(2, 14)?;
    sheet.write_string_with_format(0, 0, &poll.question, &large)?;
    let is_final = counted.status.as_str() == "final";
    let status = if voters == 0 { words.how_many(true, 0, is_final) } else { words.status(is_final).to_owned() };
    sheet.write_string(1, 0, words.voters_alone)?.write_number(1, 1, voters as f64)?.write_string(1, 2, status)?;
    for (column, text) in (0u16..).zip([words.choice, words.votes, words.percent]) {
        sheet.write_string_with_format(FIRST - 1, column, text, &bold)?;
    }
    let mut row = FIRST;
    for ((_, votes, percent), choice) in counted.result.choices.iter().zip(&poll.choices) {
        sheet.write_string_with_format(row, 0, &choice.text, &wrapped)?.write_number(row, 1, *votes as f64)?;
        sheet.write_number_with_format(row, 2, f64::from(*percent) / 100.0, &share)?;
        row += 1;
    }
    let last = row - 1;
    let books = &counted.books;
    let parts = [
        (words.received, books.received),
        (words.counted, books.counted),
        (words.superseded, books.superseded),
        (words.duplicate, books.duplicate),
        (words.late, books.late),
    ];
    for (name, number) in parts {
        row += 1;
        sheet.write_string(row, 0, name)?.write_number(row, 1, number as f64)?;
    }
    if last >= FIRST {
        let mut chart = Chart::new(ChartType::Bar);
        let name = sheet.name();
        // The question stands above the table; as a title, one that begins with "=" would be taken for an address.
        chart.add_series().set_categories((name.as_str(), FIRST, 0, last, 0)).set_values((name.as_str(), FIRST, 1, last, 1));
        chart.title().set_hidden();
        chart.legend().set_hidden();
        chart.y_axis().set_reverse();
        sheet.insert_chart(FIRST - 1, 4, &chart)?;
    }
    Ok(())
}

/// `1 Which ending`: the number keeps it apart from others, and a few characters may not be in it.
fn sheet_name(at: usize, question: &str) -> String {
    let plain: String = question.chars().filter(|c| !matches!(c, '[' | ']' | ':' | '*' | '?' | '/' | '\\' | '\'' | '"')).collect();
    let name = format!("{} {}", at + 1, plain.trim());
    // Counted as the format counts: in UTF-16, where an emoji is two.
    let mut units = 0;
    let short: String = name
        .chars()
        .take_while(|c| {
            units += c.len_utf16();
            units <= SHEET_NAME_CHARS_MAX
        })
        .collect();
    short.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_sheet_is_one_that_spreadsheets_take() {
        assert_eq!(sheet_name(0, "Which ending?"), "1 Which ending");
        assert_eq!(sheet_name(1, "'=A1:[B]*?/\\'"), "2 =A1B");
        for question in ["👩‍🚀".repeat(40), "long ".repeat(60), "أي نهاية تفضل؟".repeat(9), String::new()] {
            let name = sheet_name(99, &question);
            assert!((1..=SHEET_NAME_CHARS_MAX).contains(&name.encode_utf16().count()), "{name}");
        }
    }
}
