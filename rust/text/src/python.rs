// SPDX-License-Identifier: Apache-2.0
//! What chat templates expect of Python: json.dumps, repr(float) and strftime.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use crate::chat::OUTPUT_BYTES_MAX;

#[derive(Default)]
struct JsonOptions {
    ensure_ascii: bool,
    indent: Option<String>,
    item_separator: Option<String>,
    key_separator: Option<String>,
    sort_keys: bool,
}

/// The `tojson` of transformers: json.dumps(x, ensure_ascii=False, indent, separators, sort_keys).
pub fn tojson(value: Value, kwargs: Kwargs) -> Result<String, Error> {
    let mut options = JsonOptions {
        ensure_ascii: kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        ..JsonOptions::default()
    };
    if let Some(indent) = kwargs.get::<Option<Value>>("indent")? {
        options.indent = match (indent.as_str(), indent.as_usize()) {
            (Some(text), _) => Some(text.to_owned()),
            (None, Some(width)) if width <= 64 => Some(" ".repeat(width)),
            _ if indent.is_none() => None,
            _ => return Err(Error::new(ErrorKind::InvalidOperation, "tojson: bad indent")),
        };
    }
    if let Some(separators) = kwargs.get::<Option<Value>>("separators")? {
        let parts: Vec<Value> = separators.try_iter()?.collect();
        if let [item, key] = parts.as_slice() {
            options.item_separator = item.as_str().map(str::to_owned);
            options.key_separator = key.as_str().map(str::to_owned);
        }
    }
    kwargs.assert_all_used()?;
    let mut out = String::new();
    write_json(&value, &options, 0, &mut out)?;
    Ok(out)
}

fn write_json(
    value: &Value,
    options: &JsonOptions,
    depth: usize,
    out: &mut String,
) -> Result<(), Error> {
    // The values come from JSON, which serde_json nests 128 deep at most; templates can add to it.
    if depth > 256 {
        return Err(Error::new(ErrorKind::InvalidOperation, "tojson: nested too deeply"));
    }
    // An indentation may make hundreds of bytes of one.
    if out.len() > OUTPUT_BYTES_MAX {
        return Err(Error::new(ErrorKind::WriteFailure, "tojson: too long"));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number if value.is_integer() => out.push_str(&value.to_string()),
        ValueKind::Number => out.push_str(&float_repr(f64::try_from(value.clone())?)),
        ValueKind::String => {
            write_string(value.as_str().unwrap_or_default(), options.ensure_ascii, out)
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            write_items('[', ']', items.len(), options, depth, out, |index, out| {
                write_json(&items[index], options, depth + 1, out)
            })?;
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            if options.sort_keys {
                keys.sort();
            }
            let separator = options.key_separator.as_deref().unwrap_or(": ");
            write_items('{', '}', keys.len(), options, depth, out, |index, out| {
                let key = &keys[index];
                match key.as_str() {
                    Some(text) => write_string(text, options.ensure_ascii, out),
                    None => write_string(&key_text(key), options.ensure_ascii, out),
                }
                out.push_str(separator);
                write_json(&value.get_item(key)?, options, depth + 1, out)
            })?;
        }
        _ => {
            let message = format!("Object of type {} is not JSON serializable", value.kind());
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
    }
    Ok(())
}

fn key_text(key: &Value) -> String {
    match key.kind() {
        ValueKind::None => "null".into(),
        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.into(),
        _ => key.to_string(),
    }
}

fn write_items(
    open: char,
    close: char,
    count: usize,
    options: &JsonOptions,
    depth: usize,
    out: &mut String,
    mut item: impl FnMut(usize, &mut String) -> Result<(), Error>,
) -> Result<(), Error> {
    let default = if options.indent.is_some() { "," } else { ", " };
    let separator = options.item_separator.as_deref().unwrap_or(default);
    out.push(open);
    for index in 0..count {
        if index > 0 {
            out.push_str(separator);
        }
        new_line(options, depth + 1, out);
        item(index, out)?;
    }
    if count > 0 {
        new_line(options, depth, out);
    }
    out.push(close);
    Ok(())
}

fn new_line(options: &JsonOptions, depth: usize, out: &mut String) {
    if let Some(indent) = &options.indent {
        out.push('\n');
        for _ in 0..depth {
            out.push_str(indent);
        }
    }
}

fn write_string(text: &str, ensure_ascii: bool, out: &mut String) {
    out.push('"');
    for symbol in text.chars() {
        match symbol {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if u32::from(c) < 0x20 || (ensure_ascii && !c.is_ascii()) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// repr(float) of Python: the shortest digits, in scientific form outside 1e-4 .. 1e16.
pub fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// datetime.strftime in the C locale and UTC, for seconds since 1970.
pub fn strftime(format: &str, unix_seconds: i64) -> String {
    let days = unix_seconds.div_euclid(86_400);
    let second = unix_seconds.rem_euclid(86_400);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let weekday = usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0);
    let day_of_year = days - days_from_civil(year, 1, 1) + 1;
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let month_name = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
    let mut out = String::new();
    let mut symbols = format.chars();
    while let Some(symbol) = symbols.next() {
        if symbol != '%' {
            out.push(symbol);
            continue;
        }
        let mut directive = symbols.next();
        let bare = directive == Some('-');
        if bare {
            directive = symbols.next();
        }
        let two = |value: i64| if bare { format!("{value}") } else { format!("{value:02}") };
        match directive {
            Some('Y') => out.push_str(&year.to_string()),
            Some('y') => out.push_str(&two(year.rem_euclid(100))),
            Some('m') => out.push_str(&two(month)),
            Some('d') => out.push_str(&two(day)),
            Some('e') => out.push_str(&format!("{day:2}")),
            Some('H') => out.push_str(&two(hour)),
            Some('I') => out.push_str(&two(twelve)),
            Some('M') => out.push_str(&two(minute)),
            Some('S') => out.push_str(&two(second)),
            Some('f') => out.push_str("000000"),
            Some('p') => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            Some('j') if bare => out.push_str(&day_of_year.to_string()),
            Some('j') => out.push_str(&format!("{day_of_year:03}")),
            Some('B') => out.push_str(month_name),
            Some('b' | 'h') => out.push_str(&month_name[..3]),
            Some('A') => out.push_str(DAYS[weekday]),
            Some('a') => out.push_str(&DAYS[weekday][..3]),
            Some('w') => out.push_str(&weekday.to_string()),
            Some('F') => out.push_str(&format!("{year}-{month:02}-{day:02}")),
            Some('T') => out.push_str(&format!("{hour:02}:{minute:02}:{second:02}")),
            Some('D') => out.push_str(&format!("{month:02}/{day:02}/{:02}", year.rem_euclid(100))),
            Some('R') => out.push_str(&format!("{hour:02}:{minute:02}")),
            Some('s') => out.push_str(&unix_seconds.to_string()),
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('Z' | 'z') => {} // datetime.now() has no zone.
            Some('%') => out.push('%'),
            Some(other) => {
                out.push('%');
                out.push(other);
            }
            None => out.push('%'),
        }
    }
    out
}

// Howard Hinnant's algorithms (chrono-compatible low-level date algorithms, public domain).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_does() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e-5, "1e-05"),
            (1e16, "1e+16"),
            (123456789.125, "123456789.125"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (-0.0, "-0.0"),
        ] {
            assert_eq!(float_repr(value), text);
        }
    }

    #[test]
    fn dates_are_those_of_the_c_library() {
        assert_eq!(
            strftime("%d %b %Y %H:%M:%S %A %j %p", 951_782_400),
            "29 Feb 2000 00:00:00 Tuesday 060 AM"
        );
        assert_eq!(strftime("%-d/%-m/%y %%", 1_735_689_599), "31/12/24 %");
        assert_eq!(strftime("%Y-%m-%d", -1), "1969-12-31");
    }
}
