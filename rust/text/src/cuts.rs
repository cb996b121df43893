// SPDX-License-Identifier: Apache-2.0
//! Where a text may be cut so that its parts, tokenised alone, give the tokens of the whole.
//!
//! Before a separator. A separator is an added token that the crate matches in the raw text before
//! anything else, so that what stands on either side is normalised, pre-tokenised and merged alone.
//! It must be found wherever it is written: no other added token contains it or overlaps it, and
//! it takes no white space with it. Each part after the first begins with the separator, so that
//! rules for "the first piece of the text" see a piece that is not the first, as in the whole.
//!
//! Between lines, `x\ny` with x and y printable ASCII and y not '/': where the pre-tokeniser is
//! one of those below, none of whose alternatives matches "\ny", and whose only look-ahead,
//! `\s+(?!\S)`, gives the same for "\n" before y as for "\n" at the end. With no added token that
//! has a line end in it or takes white space with it, nothing else looks across the cut; NFC does
//! not, because y is a starter that composes with nothing before it.

use serde_json::Value;
use tokenizers::{AddedToken, Tokenizer};

/// Split patterns that obey the rule for lines above: GPT-2, Llama 3, Qwen 2, GPT-4o, DeepSeek V3.
const LINE_PATTERNS: [&str; 9] = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    pub separators: Vec<String>,
    pub lines: bool,
}

pub fn cuts(tokenizer: &Tokenizer) -> Cuts {
    let Ok(json) = serde_json::to_value(tokenizer) else {
        return Cuts::default();
    };
    if json["model"]["dropout"].as_f64().unwrap_or(0.0) > 0.0 {
        return Cuts::default(); // Left to chance: no two tokenisations are alike.
    }
    let added: Vec<AddedToken> = tokenizer.get_added_tokens_decoder().values().cloned().collect();
    let mut separators: Vec<String> = added
        .iter()
        .filter(|token| is_separator(token, &added))
        .map(|token| token.content.clone())
        .collect();
    separators.sort();
    Cuts { separators, lines: lines_are_cuts(&json, &added) }
}

fn is_separator(token: &AddedToken, all: &[AddedToken]) -> bool {
    let text = &token.content;
    // Punctuation in front, so that it neither is white space that another token takes nor makes
    // a neighbour part of a longer word.
    let opens = text.chars().next().is_some_and(|c| c.is_ascii_punctuation() && c != '_');
    let closes = text.chars().last().is_some_and(|c| !c.is_whitespace());
    opens
        && closes
        && token.special
        && !(token.normalized || token.lstrip || token.rstrip || token.single_word)
        && !all.iter().any(|other| {
            (other.content != *text && other.content.contains(text.as_str()))
                || overlaps(&other.content, text)
        })
}

/// Whether `second` can begin inside `first` and end after it.
fn overlaps(first: &str, second: &str) -> bool {
    second.char_indices().skip(1).any(|(at, _)| first.len() > at && first.ends_with(&second[..at]))
}

fn lines_are_cuts(json: &Value, added: &[AddedToken]) -> bool {
    let normalizer = &json["normalizer"];
    if !normalizer.is_null() && normalizer["type"] != "NFC" {
        return false;
    }
    let quiet = |token: &AddedToken| {
        !token.lstrip && !token.rstrip && !token.content.contains(['\n', '\r'])
    };
    added.iter().all(quiet) && splits_lines(&json["pre_tokenizer"]) == Some(true)
}

/// Some(true): ends in bytes, and every step is known to split between lines; Some(false): a known
/// step that leaves that to others; None: unknown.
fn splits_lines(step: &Value) -> Option<bool> {
    match step["type"].as_str()? {
        "ByteLevel" => (step["add_prefix_space"] == false).then_some(step["use_regex"] == true),
        "Digits" => Some(false),
        "Split" => {
            let known =
                step["pattern"]["Regex"].as_str().is_some_and(|p| LINE_PATTERNS.contains(&p));
            let plain = step["behavior"] == "Isolated" && step["invert"] == false;
            (known && plain)
                .then(|| step["pattern"]["Regex"].as_str().is_some_and(|p| p.ends_with(r"|\s+")))
        }
        "Sequence" => {
            let steps = step["pretokenizers"].as_array()?;
            let known: Option<Vec<bool>> = steps.iter().map(splits_lines).collect();
            Some(known?.contains(&true))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn special(text: &str) -> AddedToken {
        AddedToken::from(text, true)
    }

    #[test]
    fn separators_are_found_wherever_they_are_written() {
        let plain = [special("<|a|>"), special("<|b|>")];
        assert!(is_separator(&plain[0], &plain));
        let inside = [special("<|a|>"), special("x<|a|>")];
        assert!(!is_separator(&inside[0], &inside));
        let overlapping = [special("<|a|>"), special("y<|")];
        assert!(!is_separator(&overlapping[0], &overlapping));
        let own_border = [special("<a<")];
        assert!(!is_separator(&own_border[0], &own_border));
        for token in [
            special("<|a|>").lstrip(true),
            special("<|a|>").rstrip(true),
            special("<|a|>").single_word(true),
            special("<|a|>").normalized(true),
            special("word"),
            special(" <|a|>"),
        ] {
            assert!(!is_separator(&token.clone(), &[token]));
        }
    }
}
