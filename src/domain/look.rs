//! How an event looks: a colour of its own that can be read in both themes, and a logo that is a small picture and nothing else.
//! Only heads of pictures are read here, never pixels.

use crate::error::Error;

/// As an admin picks it. What is shown is one of its shades.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accent([u8; 3]);

/// The accent as text and as ground of buttons: far enough from everything it stands on, in each theme.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shades {
    pub light: String,
    pub dark: String,
}

/// WCAG 2.2 AA for text.
const CONTRAST_MIN: f64 = 4.5;
/// What the accent stands on in light: page, card, sunken ground. As in static/shared/tokens.css; a test compares them.
const LIGHT_GROUNDS: [[u8; 3]; 3] = [[0xfb, 0xf8, 0xf3], [0xff, 0xff, 0xff], [0xf0, 0xea, 0xdf]];
const DARK_GROUNDS: [[u8; 3]; 3] = [[0x0f, 0x1a, 0x20], [0x17, 0x24, 0x2c], [0x20, 0x30, 0x3a]];
/// Its soft ground is so much of itself over a card, mixed in sRGB.
const SOFT_SHARE: f64 = 0.13;
/// Lightness is moved in steps that nobody sees.
const LIGHTNESS_STEP: f64 = 0.005;

impl Accent {
    pub fn parse(raw: &str) -> Result<Accent, Error> {
        let invalid = || Error::invalid("accent_invalid", "A colour is a # and six hexadecimal digits, such as #0a6b75.");
        let digits = raw.trim().strip_prefix('#').filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit())).ok_or_else(invalid)?;
        let part = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| invalid());
        Ok(Accent([part(0)?, part(2)?, part(4)?]))
    }

    pub fn text(self) -> String {
        let [r, g, b] = self.0;
        format!("#{r:02x}{g:02x}{b:02x}")
    }

    /// The colour itself where it can be read; else darker, or lighter, by as little as it takes.
    pub fn shades(self) -> Shades {
        Shades { light: self.readable_on(LIGHT_GROUNDS, -LIGHTNESS_STEP).text(), dark: self.readable_on(DARK_GROUNDS, LIGHTNESS_STEP).text() }
    }

    fn readable_on(self, grounds: [[u8; 3]; 3], step: f64) -> Accent {
        let (mut lab, mut shade) = (oklab(self.0), self.0);
        while !reads(shade, grounds) && (0.0..=1.0).contains(&lab[0]) {
            lab[0] += step;
            shade = srgb(lab);
        }
        Accent(shade)
    }
}

fn reads(colour: [u8; 3], grounds: [[u8; 3]; 3]) -> bool {
    let mixed = |at: usize| (SOFT_SHARE * f64::from(colour[at]) + (1.0 - SOFT_SHARE) * f64::from(grounds[1][at])).round() as u8;
    let soft = [mixed(0), mixed(1), mixed(2)];
    grounds.into_iter().chain([soft]).all(|ground| contrast(colour, ground) >= CONTRAST_MIN)
}

fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let luminance = |c: [u8; 3]| 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
    let (a, b) = (luminance(one), luminance(other));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn linear(part: u8) -> f64 {
    let c = f64::from(part) / 255.0;
    if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
}

/// Björn Ottosson's OKLab: lightness moves and the hue stays.
fn oklab(c: [u8; 3]) -> [f64; 3] {
    let [r, g, b] = c.map(linear);
    let l = (0.412_221_470_8 * r + 0.536_332_536_3 * g + 0.051_445_992_9 * b).cbrt();
    let m = (0.211_903_498_2 * r + 0.680_699_545_1 * g + 0.107_396_956_6 * b).cbrt();
    let s = (0.088_302_461_9 * r + 0.281_718_837_6 * g + 0.629_978_700_5 * b).cbrt();
    [
        0.210_454_255_3 * l + 0.793_617_785 * m - 0.004_072_046_8 * s,
        1.977_998_495_1 * l - 2.428_592_205 * m + 0.450_593_709_9 * s,
        0.025_904_037_1 * l + 0.782_771_766_2 * m - 0.808_675_766 * s,
    ]
}

fn srgb([lightness, a, b]: [f64; 3]) -> [u8; 3] {
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548 * b).powi(3);
    let parts = [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701 * s,
    ];
    parts.map(|c| {
        let c = if c <= 0.003_130_8 { 12.92 * c } else { 1.055 * c.powf(1.0 / 2.4) - 0.055 };
        (c.clamp(0.0, 1.0) * 255.0).round() as u8
    })
}

/// The name a logo is fetched by: a hash of its bytes, and what it is. `9f86d081884c7d65….png`
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LogoName(String);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogoKind {
    Png,
    Webp,
}

/// Every phone of the audience fetches it once.
pub const LOGO_BYTES_MAX: usize = 64 * 1_024;
/// A small file can say that it is enormous, and a phone would try to paint it.
const LOGO_SIDE_PX_MAX: u32 = 1_024;
const HASH_CHARS: usize = 32;

impl LogoName {
    /// `hash` as 32 bytes; half of it tells logos apart for ever.
    pub fn compose(hash: &[u8; 32], kind: LogoKind) -> LogoName {
        let hex: String = hash.iter().take(HASH_CHARS / 2).map(|b| format!("{b:02x}")).collect();
        LogoName(format!("{hex}.{}", kind.ending()))
    }

    pub fn parse(raw: &str) -> Option<LogoName> {
        let (hash, ending) = raw.split_once('.')?;
        let is_hash = hash.len() == HASH_CHARS && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        (is_hash && LogoKind::parse(ending).is_some()).then(|| LogoName(raw.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn kind(&self) -> LogoKind {
        if self.0.ends_with("png") { LogoKind::Png } else { LogoKind::Webp }
    }
}

impl LogoKind {
    fn ending(self) -> &'static str {
        match self {
            LogoKind::Png => "png",
            LogoKind::Webp => "webp",
        }
    }

    fn parse(ending: &str) -> Option<LogoKind> {
        [LogoKind::Png, LogoKind::Webp].into_iter().find(|k| k.ending() == ending)
    }

    /// By its first bytes, whatever it is said to be, and the picture itself: what stands behind its end would be a file of somebody's that we
    /// give out for ever. No SVG: that is a document, with all that documents can do; the back office turns one into a picture before it sends it.
    pub fn of(bytes: &[u8]) -> Result<(LogoKind, &[u8]), Error> {
        if bytes.len() > LOGO_BYTES_MAX {
            return Err(Error::invalid("logo_large", "A logo has at most 64 KiB."));
        }
        let invalid = || Error::invalid("logo_invalid", "A logo is a PNG or WebP picture, whole, that does not move.");
        let Head { kind, width, height, picture } = png(bytes).or_else(|| webp(bytes)).ok_or_else(invalid)?;
        if !(1..=LOGO_SIDE_PX_MAX).contains(&width) || !(1..=LOGO_SIDE_PX_MAX).contains(&height) {
            return Err(Error::invalid("logo_large", "A logo is at most 1024 pixels wide and high."));
        }
        Ok((kind, picture))
    }
}

struct Head<'a> {
    kind: LogoKind,
    width: u32,
    height: u32,
    /// To its end and no further.
    picture: &'a [u8],
}

/// One part after the other: length, name, content, checksum. `IEND` is the last.
fn png(bytes: &[u8]) -> Option<Head<'_>> {
    const PART_BYTES: usize = 12;
    let start = b"\x89PNG\r\n\x1a\n";
    let head = bytes.strip_prefix(start)?.strip_prefix(b"\0\0\0\x0dIHDR")?;
    let number = |of: &[u8], at: usize| of.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    let mut at = start.len();
    loop {
        let part = bytes.get(at..)?;
        let (length, name) = (number(part, 0)?, part.get(4..8)?);
        at += part.get(..PART_BYTES + length as usize)?.len();
        match name {
            b"IEND" if length == 0 => return Some(Head { kind: LogoKind::Png, width: number(head, 0)?, height: number(head, 4)?, picture: &bytes[..at] }),
            // It moves; or it has an end that no picture has.
            b"acTL" | b"IEND" => return None,
            _ => {}
        }
    }
}

/// Its own length is that of all behind it.
fn webp(bytes: &[u8]) -> Option<Head<'_>> {
    const LENGTH_END: usize = 8;
    let length = u32::from_le_bytes(bytes.strip_prefix(b"RIFF")?.get(..4)?.try_into().ok()?);
    let picture = bytes.get(..LENGTH_END + length as usize)?;
    let body = picture.get(LENGTH_END..)?.strip_prefix(b"WEBP")?;
    let data = body.get(8..)?;
    let number = |at: usize, length: usize| data.get(at..at + length).map(|b| b.iter().rev().fold(0u32, |n, b| (n << 8) | u32::from(*b)));
    let (width, height) = match body.get(..4)? {
        b"VP8 " if data.get(3..6)? == b"\x9d\x01\x2a" => (number(6, 2)? & 0x3fff, number(8, 2)? & 0x3fff),
        b"VP8L" if data.first()? == &0x2f => {
            let sides = number(1, 4)?;
            ((sides & 0x3fff) + 1, ((sides >> 14) & 0x3fff) + 1)
        }
        // The second bit: it moves.
        b"VP8X" if data.first()? & 2 == 0 => (number(4, 3)? + 1, number(7, 3)? + 1),
        _ => return None,
    };
    Some(Head { kind: LogoKind::Webp, width, height, picture })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accent(text: &str) -> Accent {
        Accent::parse(text).unwrap()
    }

    #[test]
    fn every_colour_can_be_read_in_both_themes() {
        for r in (0..=255).step_by(17) {
            for g in (0..=255).step_by(17) {
                for b in (0..=255).step_by(17) {
                    let shades = Accent([r, g, b]).shades();
                    for (shade, grounds) in [(shades.light, LIGHT_GROUNDS), (shades.dark, DARK_GROUNDS)] {
                        assert!(reads(accent(&shade).0, grounds), "{r} {g} {b} became {shade}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_can_be_read_stays_as_it_was_picked_and_what_cannot_keeps_its_hue() {
        assert_eq!(accent("#0A6B75").shades().light, "#0a6b75");
        assert_eq!(accent("#5fd3c8").shades().dark, "#5fd3c8");
        let yellow = accent("#ffd400").shades().light;
        let (before, after) = (oklab([0xff, 0xd4, 0]), oklab(accent(&yellow).0));
        let turned = (before[2].atan2(before[1]) - after[2].atan2(after[1])).abs().to_degrees();
        assert!(turned < 15.0, "{yellow} is turned by {turned} degrees");
    }

    #[test]
    fn only_a_colour_is_a_colour() {
        for raw in ["", "#fff", "red", "#12345g", "#1234567", "0a6b75", "#ä1234", "url(x)"] {
            assert!(Accent::parse(raw).is_err(), "{raw}");
        }
        assert_eq!(accent(" #0A6B75 ").text(), "#0a6b75");
    }

    #[test]
    fn the_grounds_are_those_of_the_screens() {
        let tokens = include_str!("../../static/shared/tokens.css");
        for (name, ground) in ["paper", "card", "sand"].into_iter().cycle().zip(LIGHT_GROUNDS.into_iter().chain(DARK_GROUNDS)) {
            let colour = format!("--raw-{name}: {};", Accent(ground).text());
            assert!(tokens.contains(&colour), "{colour}");
        }
    }

    fn png_of(width: u32, height: u32) -> Vec<u8> {
        png_with(width, height, b"")
    }

    fn png_with(width: u32, height: u32, parts: &[u8]) -> Vec<u8> {
        let head = [b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".as_slice(), &width.to_be_bytes(), &height.to_be_bytes(), b"\x08\x06\0\0\0crc-"].concat();
        [&head, parts, b"\0\0\0\0IEND\xae\x42\x60\x82"].concat()
    }

    fn webp_of(body: &[u8]) -> Vec<u8> {
        [b"RIFF", (4 + body.len() as u32).to_le_bytes().as_slice(), b"WEBP", body].concat()
    }

    #[test]
    fn a_logo_is_what_its_bytes_say_and_no_larger_than_it_may_be() {
        for (picture, kind) in [
            (png_of(512, 128), LogoKind::Png),
            (png_with(512, 128, b"\0\0\0\x04IDATacTLcrc-"), LogoKind::Png),
            (webp_of(b"VP8X\x0a\0\0\0\x10\0\0\0\xff\x01\0\x7f\0\0"), LogoKind::Webp),
            (webp_of(b"VP8 \0\0\0\0abc\x9d\x01\x2a\x40\0\x20\0"), LogoKind::Webp),
            (webp_of(b"VP8L\0\0\0\0\x2f\x3f\xc0\x07\0"), LogoKind::Webp),
        ] {
            assert_eq!(LogoKind::of(&picture).unwrap(), (kind, &picture[..]));
            let followed = [&picture[..], b"PK\x03\x04IEND"].concat();
            assert_eq!(LogoKind::of(&followed).unwrap(), (kind, &picture[..]), "and nothing of what stands behind it");
            for end in 0..picture.len() {
                assert!(LogoKind::of(&picture[..end]).is_err(), "{end} of {} bytes are no picture", picture.len());
            }
        }
        for bytes in [
            png_of(0, 10),
            png_of(1_025, 10),
            png_of(10, u32::MAX),
            png_with(10, 10, b"\0\0\0\x08acTL\0\0\0\x02\0\0\0\0crc-"),
            png_with(10, 10, b"\0\0\0\x04IENDmorecrc-"),
            png_with(10, 10, b"\xff\xff\xff\xffIDAT"),
            [png_of(10, 10), vec![0; LOGO_BYTES_MAX]].concat(),
            b"\x89PNG\r\n\x1a\n".to_vec(),
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>".to_vec(),
            b"GIF89a\x01\0\x01\0".to_vec(),
            webp_of(b"VP8X\x0a\0\0\0\x02\0\0\0\xff\x01\0\x7f\0\0"),
            webp_of(b""),
            b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\x01\0\x7f\0\0".to_vec(),
            b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\x01\0\x7f\0\0".to_vec(),
            b"".to_vec(),
        ] {
            assert!(LogoKind::of(&bytes).is_err(), "{:?}", &bytes[..bytes.len().min(40)]);
        }
    }

    #[test]
    fn a_logo_is_fetched_by_its_hash_and_by_nothing_else() {
        let name = LogoName::compose(&[0xab; 32], LogoKind::Webp);
        assert_eq!((LogoName::parse(name.as_str()), name.kind()), (Some(name.clone()), LogoKind::Webp));
        for raw in ["", "..png", "../../x.png", "abc.png", "ABABABABABABABABABABABABABABABAB.png", "abababababababababababababababab.svg"] {
            assert!(LogoName::parse(raw).is_none(), "{raw}");
        }
    }
}
