// SPDX-License-Identifier: Apache-2.0
//! What a Hugging Face folder says about text: the tokenizer, its special tokens and its chat
//! templates.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer};

use crate::failure::Failure;

/// Larger files are refused before they are read; the largest vocabularies take 35 MiB.
const FILE_BYTES_MAX: u64 = 256 << 20;

const NAMED_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

pub struct Folder {
    pub tokenizer: Tokenizer,
    /// bos_token and the like, as templates see them.
    pub special_tokens: Map<String, Value>,
    /// (name, source); the plain one is "default".
    pub templates: Vec<(String, String)>,
}

pub fn load(folder: &Path) -> Result<Folder, Failure> {
    let text = read(&folder.join("tokenizer.json"))?
        .ok_or_else(|| Failure::invalid("no tokenizer.json in the folder"))?;
    let mut tokenizer = Tokenizer::from_bytes(text.as_bytes())
        .map_err(|error| Failure::invalid(format!("tokenizer.json: {error}")))?;
    // What a caller of transformers gets: cutting and padding are asked for, never the default.
    tokenizer.with_padding(None);
    tokenizer
        .with_truncation(None)
        .map_err(|error| Failure::invalid(format!("tokenizer.json: {error}")))?;
    let config = read_json(&folder.join("tokenizer_config.json"))?;
    let legacy = read_json(&folder.join("special_tokens_map.json"))?;
    let special_tokens = named_tokens(&config, &legacy);
    add_missing_tokens(&mut tokenizer, &config, &special_tokens)?;
    let templates = templates(folder, &config)?;
    Ok(Folder { tokenizer, special_tokens, templates })
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match fs::metadata(path) {
        Ok(facts) if facts.len() > FILE_BYTES_MAX => {
            return Err(Failure::invalid(format!("{name}: larger than {FILE_BYTES_MAX} bytes")));
        }
        Ok(facts) if !facts.is_file() => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::invalid(format!("{name}: {error}"))),
    }
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) => Err(Failure::invalid(format!("{name}: {error}"))),
    }
}

fn read_json(path: &Path) -> Result<Value, Failure> {
    match read(path)? {
        None => Ok(Value::Null),
        Some(text) => serde_json::from_str(&text).map_err(|error| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Failure::invalid(format!("{name}: {error}"))
        }),
    }
}

/// A token is written as text, or as an object with its text in `content`.
fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}

fn named_tokens(config: &Value, legacy: &Value) -> Map<String, Value> {
    NAMED_TOKENS
        .iter()
        .filter_map(|name| {
            let text = token_text(&config[*name]).or_else(|| token_text(&legacy[*name]))?;
            Some(((*name).to_owned(), Value::from(text)))
        })
        .collect()
}

fn add_missing_tokens(
    tokenizer: &mut Tokenizer,
    config: &Value,
    named: &Map<String, Value>,
) -> Result<(), Failure> {
    let lists = ["extra_special_tokens", "additional_special_tokens"];
    let extra = lists.iter().flat_map(|name| config[*name].as_array().into_iter().flatten());
    let missing: Vec<AddedToken> = named
        .values()
        .chain(extra)
        .filter_map(token_text)
        .filter(|text| tokenizer.token_to_id(text).is_none())
        .map(|text| AddedToken::from(text, true))
        .collect();
    match tokenizer.add_special_tokens(missing) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::invalid(format!("tokenizer_config.json: {error}"))),
    }
}

/// chat_template.jinja, else chat_template.json, else tokenizer_config.json; and what
/// additional_chat_templates/ adds.
fn templates(folder: &Path, config: &Value) -> Result<Vec<(String, String)>, Failure> {
    let mut found = Vec::new();
    if let Some(source) = read(&folder.join("chat_template.jinja"))? {
        found.push(("default".to_owned(), source));
    } else {
        let own = read_json(&folder.join("chat_template.json"))?;
        let listed = if own.is_null() { config } else { &own };
        match &listed["chat_template"] {
            Value::String(source) => found.push(("default".to_owned(), source.clone())),
            Value::Array(entries) => found.extend(entries.iter().filter_map(|entry| {
                Some((entry["name"].as_str()?.to_owned(), entry["template"].as_str()?.to_owned()))
            })),
            _ => {}
        }
    }
    if let Ok(entries) = fs::read_dir(folder.join("additional_chat_templates")) {
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|e| e == "jinja")) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(source) = read(path)? {
                found.push((name, source));
            }
        }
    }
    Ok(found)
}
