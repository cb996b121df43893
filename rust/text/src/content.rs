// SPDX-License-Identifier: Apache-2.0
//! From the messages of an OpenAI request to those that vLLM hands to the template.
//!
//! A template that loops over the parts of a message's content gets a list of parts, every other
//! one text; tool calls get their arguments as an object; a template that knows no developers gets
//! their messages as the system's. Source: vLLM 0.32, vllm/renderers/chat_utils.py
//! (parse_chat_messages) and hf.py (detection of the content format, developer messages).

use serde_json::{Map, Value, json};

use crate::failure::Failure;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentFormat {
    Text,
    Parts,
}

/// Parts when a loop of the template goes over `content` of a message of `messages`, directly,
/// through names given to them or as the parameter of a macro; or, outside of macros, over anything
/// that is called `content`.
pub fn content_format(template: &str) -> ContentFormat {
    let statements = statements(template);
    let messages = message_names(&statements);
    let mut parameters: Option<Vec<&str>> = None; // Of the macro that is being read.
    for statement in &statements {
        if let Some(declared) = statement.strip_prefix("macro ") {
            parameters = Some(content_parameters(template, declared, &messages));
        } else if *statement == "endmacro" {
            parameters = None;
        }
        let Some((_, source)) = for_loop(statement) else { continue };
        let bare = source.split(" if ").next().unwrap_or(source).trim();
        let named = match &parameters {
            Some(names) => names.contains(&bare),
            None => bare == "content",
        };
        if named || messages.iter().any(|name| is_access(source, name, Some("content"))) {
            return ContentFormat::Parts;
        }
    }
    ContentFormat::Text
}

/// What loops over `messages`, or over names given to them, call a message.
fn message_names<'a>(statements: &[&'a str]) -> Vec<&'a str> {
    let mut lists = vec!["messages"];
    let mut index = 0;
    while index < lists.len() {
        for (target, source) in statements.iter().filter_map(|s| assignment(s)) {
            if is_access(source, lists[index], None) && !lists.contains(&target) {
                lists.push(target);
            }
        }
        index += 1;
    }
    let loops = statements.iter().filter_map(|s| for_loop(s));
    loops
        .filter(|(_, source)| lists.iter().any(|name| is_access(source, name, None)))
        .map(|(target, _)| target)
        .collect()
}

/// The parameters of a macro that some call gives a message's content to.
fn content_parameters<'a>(template: &str, declared: &'a str, messages: &[&str]) -> Vec<&'a str> {
    let Some((name, list)) = declared.split_once('(') else { return Vec::new() };
    let list = list.rsplit_once(')').map_or(list, |(inside, _)| inside);
    let parameters: Vec<&str> = arguments(list)
        .into_iter()
        .map(|one| one.split_once('=').map_or(one, |(name, _)| name).trim())
        .collect();
    let mut given = Vec::new();
    for (at, call) in template.match_indices(&format!("{}(", name.trim())) {
        let before = template[..at].trim_end();
        let is_longer = template[..at].ends_with(|c: char| c.is_alphanumeric() || "_.".contains(c));
        if is_longer || before.ends_with("macro") {
            continue;
        }
        for (index, argument) in arguments(&template[at + call.len()..]).into_iter().enumerate() {
            let (parameter, value) = match argument.split_once('=') {
                Some((key, value)) if is_name(key.trim()) => {
                    (parameters.iter().find(|name| **name == key.trim()), value.trim())
                }
                _ => (parameters.get(index), argument.trim()),
            };
            if messages.iter().any(|name| is_access(value, name, Some("content"))) {
                given.extend(parameter);
            }
        }
    }
    given
}

/// What commas part, up to the parenthesis that closes the list.
fn arguments(list: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut depth, mut quote) = (0, 0, None);
    let mut end = list.len();
    for (at, c) in list.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') if depth == 0 => {
                end = at;
                break;
            }
            (None, ')' | ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => {
                found.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&list[start..end]);
    found
}

/// What stands between `{%` and `%}`, without the marks of white space.
fn statements(template: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start + 2..].find("%}") else { break };
        let inner = &rest[start + 2..start + 2 + length];
        found.push(inner.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim());
        rest = &rest[start + 2 + length + 2..];
    }
    found
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn assignment(statement: &str) -> Option<(&str, &str)> {
    let (target, source) = statement.strip_prefix("set ")?.split_once('=')?;
    is_name(target.trim()).then(|| (target.trim(), source.trim()))
}

fn for_loop(statement: &str) -> Option<(&str, &str)> {
    let (target, source) = statement.strip_prefix("for ")?.split_once(" in ")?;
    is_name(target.trim()).then(|| (target.trim(), source.trim()))
}

/// Whether the expression is `name`, or its attribute `key`, through slices, filters and tests.
fn is_access(expression: &str, name: &str, key: Option<&str>) -> bool {
    let Some(mut rest) = expression.trim_start_matches('(').strip_prefix(name) else {
        return false;
    };
    if let Some(key) = key {
        let forms = [format!(".{key}"), format!("['{key}']"), format!("[\"{key}\"]")];
        let Some(after) = forms.iter().find_map(|form| rest.strip_prefix(form.as_str())) else {
            return false;
        };
        rest = after;
    }
    if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        return false;
    }
    loop {
        rest = rest.trim_start().trim_start_matches(')').trim_start();
        if let Some(slice) = rest.strip_prefix('[') {
            let Some(end) = slice.find(']') else { return false };
            if !slice[..end].contains(':') {
                return false;
            }
            rest = &slice[end + 1..];
        } else if rest.starts_with('|') || rest.starts_with("is ") {
            return true;
        } else {
            return rest.is_empty() || rest.starts_with("if ") || rest.starts_with("recursive");
        }
    }
}

/// How many of a request's parts were media: what the engine puts in their place is not known.
#[derive(Debug, Default)]
pub struct Media(pub u32);

pub fn engine_messages(
    messages: &[Value],
    template: &str,
    format: ContentFormat,
    media: &mut Media,
) -> Result<Vec<Value>, Failure> {
    let messages: Result<Vec<Value>, Failure> =
        messages.iter().map(|message| engine_message(message, format, media)).collect();
    let messages = messages?;
    let knows = template.contains("'developer'") || template.contains("\"developer\"");
    if knows || !messages.iter().any(|message| message["role"] == "developer") {
        return Ok(messages);
    }
    Ok(system_first(messages))
}

/// Developers' messages become the system's, and all of these one, at the beginning.
fn system_first(messages: Vec<Value>) -> Vec<Value> {
    let is_system = |message: &Value| message["role"] == "system" || message["role"] == "developer";
    let alone = messages.iter().skip(1).all(|message| !is_system(message));
    let (mut systems, others): (Vec<Value>, Vec<Value>) = messages.into_iter().partition(is_system);
    if alone {
        for message in systems.iter_mut().filter_map(Value::as_object_mut) {
            message.insert("role".into(), "system".into());
            message.remove("tools");
        }
        return systems.into_iter().chain(others).collect();
    }
    let texts: Vec<String> = systems
        .iter()
        .map(|message| joined(&message["content"]))
        .filter(|t| !t.is_empty())
        .collect();
    let merged = json!({"role": "system", "content": texts.join("\n\n")});
    std::iter::once(merged).chain(others).collect()
}

/// The texts of a content, each on a line.
fn joined(content: &Value) -> String {
    match content.as_array() {
        Some(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        None => content.as_str().unwrap_or_default().to_owned(),
    }
}

fn engine_message(
    message: &Value,
    format: ContentFormat,
    media: &mut Media,
) -> Result<Value, Failure> {
    let Some(role) = message["role"].as_str() else {
        return Err(Failure::invalid("a message has no role"));
    };
    let mut out = Map::new();
    out.insert("role".into(), role.into());
    let mut content = content(role, &message["content"], format, media)?;
    if role == "tool" && only_texts(&content) {
        content = joined(&content).into(); // Most templates expect no parts there.
    }
    out.insert("content".into(), content);
    if role == "assistant" {
        if let Some(calls) = message["tool_calls"].as_array().filter(|calls| !calls.is_empty()) {
            let calls: Result<Vec<Value>, Failure> = calls.iter().map(tool_call).collect();
            out.insert("tool_calls".into(), calls?.into());
        }
        let reasoning = match &message["reasoning"] {
            Value::Null => &message["reasoning_content"],
            given => given,
        };
        if !reasoning.is_null() {
            out.insert("reasoning".into(), reasoning.clone());
            out.insert("reasoning_content".into(), reasoning.clone());
        }
    } else if role == "tool" {
        if let Some(id) = message.get("tool_call_id") {
            out.insert("tool_call_id".into(), id.clone());
        }
    } else if role == "developer" {
        out.insert("tools".into(), message["tools"].clone());
    }
    if let Some(name) = message["name"].as_str() {
        out.insert("name".into(), name.into());
    }
    Ok(Value::Object(out))
}

fn only_texts(content: &Value) -> bool {
    content.as_array().is_some_and(|parts| parts.iter().all(|part| part["type"] == "text"))
}

/// Without the line that one client changes with every request.
fn without_header<'a>(role: &str, text: &'a str) -> Option<&'a str> {
    if role != "system" || !text.starts_with("x-anthropic-billing-header") {
        return Some(text);
    }
    text.split_once('\n').map(|(_, rest)| rest).filter(|rest| !rest.is_empty())
}

fn content(
    role: &str,
    content: &Value,
    format: ContentFormat,
    media: &mut Media,
) -> Result<Value, Failure> {
    let mut texts = Vec::new();
    let mut parts = Vec::new();
    let whole;
    let list = match content {
        Value::Null => &[],
        Value::Array(list) => list.as_slice(),
        text => {
            whole = [text.clone()];
            &whole
        }
    };
    for part in list {
        if let Some(text) = text_of(part) {
            let Some(text) = without_header(role, text) else { continue };
            if !text.is_empty() {
                texts.push(text);
            }
            parts.push(json!({"type": "text", "text": text}));
            continue;
        }
        let kind = match part["type"].as_str() {
            Some("image_url" | "input_image" | "image_embeds") => "image",
            Some("audio_url" | "input_audio" | "audio_embeds") => "audio",
            Some("video_url") => "video",
            Some("text" | "refusal") => continue, // Without a text: the engine leaves it out.
            _ => return Err(Failure::refused("a part of a message is of an unknown type")),
        };
        media.0 += 1;
        parts.push(json!({"type": kind}));
        if format == ContentFormat::Text {
            // Each model has a placeholder of its own, which no file of the folder tells.
            return Err(Failure::refused("the template has no place for media"));
        }
    }
    Ok(match format {
        ContentFormat::Text => texts.join("\n").into(),
        ContentFormat::Parts => parts.into(),
    })
}

fn text_of(part: &Value) -> Option<&str> {
    if let Some(text) = part.as_str() {
        return Some(text);
    }
    match part["type"].as_str()? {
        "text" | "input_text" | "output_text" => part["text"].as_str(),
        "refusal" => part["refusal"].as_str(),
        "thinking" => part["thinking"].as_str(),
        _ => None,
    }
}

fn tool_call(call: &Value) -> Result<Value, Failure> {
    let mut call = call.clone();
    let Some(function) = call.get_mut("function").and_then(Value::as_object_mut) else {
        return Err(Failure::refused("a tool call is not of a function"));
    };
    let arguments = match function.get("arguments") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
        Some(given) => given.clone(),
        None => Value::Null,
    };
    let arguments = if arguments.is_object() { arguments } else { json!({}) };
    function.insert("arguments".into(), arguments);
    Ok(call)
}

/// Tools as the engine's own types print them: every field, absent ones as null.
pub fn engine_tools(tools: &Value) -> Value {
    let Some(list) = tools.as_array().filter(|list| !list.is_empty()) else {
        return Value::Null;
    };
    list.iter()
        .map(|tool| {
            let mut function = Map::new();
            for name in ["name", "description", "parameters"] {
                function.insert(name.into(), tool["function"][name].clone());
            }
            for (name, value) in tool["function"].as_object().into_iter().flatten() {
                function.insert(name.clone(), value.clone());
            }
            let mut out = Map::new();
            out.insert("type".into(), tool.get("type").cloned().unwrap_or("function".into()));
            out.insert("function".into(), function.into());
            for (name, value) in tool.as_object().into_iter().flatten() {
                out.entry(name.clone()).or_insert_with(|| value.clone());
            }
            Value::Object(out)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_over_the_content_asks_for_parts() {
        for template in [
            "{% for m in messages %}{% for c in m['content'] %}{% endfor %}{% endfor %}",
            "{%- for m in messages -%}{%- for c in m.content | list -%}{% endfor %}{% endfor %}",
            "{% set rest = messages[1:] %}{% for m in rest %}{% for c in m.content if c %}{% endfor %}{% endfor %}",
            "{% set content = messages[0].content %}{% for c in content if c %}{% endfor %}",
            "{% macro show(a, b=1) %}{% for c in b %}{% endfor %}{% endmacro %}{% for m in messages %}{{ show('),', m.content) }}{% endfor %}",
            "{% macro show(a, b) %}{% for c in a %}{% endfor %}{% endmacro %}{% for m in messages %}{{ show(b=1, a=m['content'] | trim) }}{% endfor %}",
        ] {
            assert_eq!(content_format(template), ContentFormat::Parts, "{template}");
        }
        for template in [
            "{% for m in messages %}{{ m['content'] }}{% endfor %}",
            "{% macro show(content) %}{% for c in content %}{% endfor %}{% endmacro %}{{ show(tools) }}",
            "{% macro show(a, b) %}{% for c in b %}{% endfor %}{% endmacro %}{% for m in messages %}{{ show(m.content) }}{% endfor %}",
            "{% for m in messages %}{% for c in m.contents %}{% endfor %}{% endfor %}",
            "{% for m in tools %}{% for c in m.content %}{% endfor %}{% endfor %}",
        ] {
            assert_eq!(content_format(template), ContentFormat::Text, "{template}");
        }
    }

    // What vLLM 0.32's /tokenize made of these.
    #[test]
    fn messages_are_rewritten_as_the_engine_does_it() {
        let rewritten = |messages: Value, template: &str, format| {
            let list = messages.as_array().cloned().unwrap_or_default();
            let made = engine_messages(&list, template, format, &mut Media::default());
            Value::from(made.unwrap_or_default())
        };
        let two = json!([{"role": "developer", "content": "be"}, {"role": "user", "content": "hi"},
            {"role": "system", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]}]);
        for format in [ContentFormat::Text, ContentFormat::Parts] {
            let made = rewritten(two.clone(), "", format);
            assert_eq!(made[0], json!({"role": "system", "content": "be\n\nx\ny"}));
            assert_eq!(made.as_array().map(Vec::len), Some(2));
            assert_eq!(rewritten(two.clone(), "'developer'", format)[0]["role"], "developer");
            let tool = json!([{"role": "tool", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]}]);
            assert_eq!(rewritten(tool, "", format)[0]["content"], "x\ny");
        }
        let one = json!([{"role": "developer", "content": "be", "tools": []}]);
        let made = rewritten(one, "", ContentFormat::Text);
        assert_eq!(made, json!([{"role": "system", "content": "be"}]));
        let headed = json!([{"role": "system", "content": "x-anthropic-billing-header: a\nbe"},
            {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "z"}]}]);
        let made = rewritten(headed, "", ContentFormat::Text);
        assert_eq!((&made[0]["content"], &made[1]["content"]), (&json!("be"), &json!("z")));
    }
}
