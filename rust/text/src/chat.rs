// SPDX-License-Identifier: Apache-2.0
//! Chat templates, rendered as transformers renders them (render_jinja_template).

use std::cell::Cell;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind};
use minijinja_contrib::pycompat;
use serde_json::{Map, Value};

use crate::content::{self, ContentFormat, Media};
use crate::failure::{Failure, Status};
use crate::python;

/// Bounds of one rendering: steps, and with them memory (64 bytes a step), nested calls, output.
const FUEL: u64 = 4_000_000;
const RECURSION_MAX: usize = 100;
pub const OUTPUT_BYTES_MAX: usize = 64 << 20;
const TEMPLATE_BYTES_MAX: usize = 1 << 20;
const CONTINUE_TAG: &str = "CONTINUE_FINAL_MESSAGE_TAG ";
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(0) };
}

/// How a request's messages reach the template.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As they are: transformers.
    Plain,
    /// As vLLM rewrites them first.
    Engine,
}

/// A prompt to tokenise: text, or tokens that the client made itself.
#[derive(Debug, Default)]
pub struct Prompt {
    pub text: String,
    pub tokens: Vec<u32>,
    /// Whether special tokens go around the text.
    pub special: bool,
    /// Parts that are no text: the engine puts its own tokens where the text has a placeholder.
    pub media: u32,
}

pub struct ChatTemplates {
    environment: Environment<'static>,
    templates: Vec<(String, String, ContentFormat)>,
    special_tokens: Map<String, Value>,
}

impl ChatTemplates {
    pub fn new(
        templates: Vec<(String, String)>,
        special_tokens: Map<String, Value>,
    ) -> Result<Self, Failure> {
        let mut environment = environment();
        let mut kept = Vec::new();
        for (name, source) in templates {
            if source.len() > TEMPLATE_BYTES_MAX {
                return Err(Failure::invalid(format!("chat template {name}: too large")));
            }
            let format = content::content_format(&source);
            environment
                .add_template_owned(name.clone(), without_generation_marks(&source))
                .map_err(|error| Failure::invalid(format!("chat template {name}: {error}")))?;
            kept.push((name, source, format));
        }
        Ok(ChatTemplates { environment, templates: kept, special_tokens })
    }

    pub fn is_empty(&self) -> bool {
        self.templates.is_empty()
    }

    /// `request` is the body of a chat request: messages, tools, documents, add_generation_prompt,
    /// continue_final_message, chat_template_kwargs. One that brings a template is refused.
    pub fn render(&self, request: &[u8], form: Form, now: i64) -> Result<Prompt, Failure> {
        let mut request: Value = serde_json::from_slice(request)
            .map_err(|error| Failure::invalid(format!("the request: {error}")))?;
        let Some(request) = request.as_object_mut() else {
            return Err(Failure::invalid("the request is no object"));
        };
        if request.get("chat_template").is_some_and(|given| !given.is_null()) {
            return Err(Failure::refused("the request brings a template of its own"));
        }
        let Some(Value::Array(messages)) = request.remove("messages") else {
            return Err(Failure::invalid("the request has no messages"));
        };
        if messages.is_empty() {
            return Err(Failure::refused("the conversation is empty"));
        }
        let special = request.get("add_special_tokens") == Some(&Value::Bool(true));
        let tools = request.remove("tools").unwrap_or(Value::Null);
        let (name, source, format) = self.choose(&tools)?;
        let mut media = Media::default();
        let (messages, tools) = match form {
            Form::Plain => (messages, tools),
            Form::Engine => (
                content::engine_messages(&messages, source, *format, &mut media)?,
                content::engine_tools(&tools),
            ),
        };
        let mut messages = messages.into_iter().map(prepared).collect::<Result<Vec<_>, _>>()?;
        let proceed = continued_field(request.get("continue_final_message"));
        let last_text = match &proceed {
            Some(field) => Some(mark_final_message(&mut messages, field, source)?),
            None => None,
        };
        let prompt = request.remove("add_generation_prompt");
        // vLLM asks for the assistant's turn unless told otherwise, transformers does not.
        let prompt =
            prompt.unwrap_or_else(|| Value::Bool(form == Form::Engine && proceed.is_none()));
        if proceed.is_some() && prompt == Value::Bool(true) {
            return Err(Failure::refused("continue_final_message with add_generation_prompt"));
        }
        let context = self.context(request, messages, tools, prompt);
        let text = self.run(name, context, now)?;
        let text = match last_text {
            Some(last) => cut_final_message(text, &last)?,
            None => text,
        };
        Ok(Prompt { text, special, media: media.0, ..Prompt::default() })
    }

    fn choose(&self, tools: &Value) -> Result<&(String, String, ContentFormat), Failure> {
        let named = |wanted: &str| self.templates.iter().find(|(name, ..)| name == wanted);
        let with_tools = if tools.is_null() { None } else { named("tool_use") };
        with_tools
            .or_else(|| named("default"))
            .ok_or_else(|| Failure::refused("the folder has no chat template"))
    }

    fn context(
        &self,
        request: &mut Map<String, Value>,
        messages: Vec<Value>,
        tools: Value,
        prompt: Value,
    ) -> Value {
        let mut context = self.special_tokens.clone();
        if let Some(Value::Object(extra)) = request.remove("chat_template_kwargs") {
            context.extend(extra);
        }
        if let Some(effort) = request.remove("reasoning_effort").filter(|given| !given.is_null()) {
            context.insert("reasoning_effort".into(), effort);
        }
        context.insert("messages".into(), messages.into());
        context.insert("tools".into(), tools);
        context.insert("documents".into(), request.remove("documents").unwrap_or(Value::Null));
        context.insert("add_generation_prompt".into(), prompt);
        Value::Object(context)
    }

    fn run(&self, name: &str, context: Value, now: i64) -> Result<String, Failure> {
        NOW.set(now);
        let template = self
            .environment
            .get_template(name)
            .map_err(|error| Failure::invalid(error.to_string()))?;
        let mut out = Bounded(Vec::new());
        let done = template.render_captured_to(Serde(context), &mut out).map(|_| ());
        match done {
            Ok(()) => String::from_utf8(out.0)
                .map_err(|_| Failure::new(Status::Internal, "the template wrote no UTF-8")),
            Err(error) => Err(failure_of(&error)),
        }
    }
}

/// The kind only: the text of an error may quote what a user wrote.
fn failure_of(error: &Error) -> Failure {
    let line = error.line().unwrap_or(0);
    match error.kind() {
        ErrorKind::OutOfFuel => Failure::new(Status::Limit, "the chat template ran for too long"),
        ErrorKind::WriteFailure => Failure::new(Status::Limit, "the chat template wrote too much"),
        kind => Failure::refused(format!("the chat template failed in line {line}: {kind}")),
    }
}

struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    if let Ok(syntax) = syntax.build() {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_MAX);
    environment.add_filter("tojson", python::tojson);
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| python::strftime(&format, NOW.get()));
    environment
}

/// `{% generation %}` only marks what the assistant wrote, for training.
fn without_generation_marks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let tag = &rest[start..start + length];
        out.push_str(&rest[..start]);
        match tag.trim_start_matches("{%").trim_matches(['-', '+', ' ', '\n', '\t']) {
            "generation" => out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endif")),
            _ => out.push_str(tag),
        }
        rest = &rest[start + length..];
    }
    out.push_str(rest);
    out
}

/// Fields that are null are left out, and reasoning is there under each of its names.
fn prepared(message: Value) -> Result<Value, Failure> {
    let Value::Object(fields) = message else {
        return Err(Failure::invalid("a message is no object"));
    };
    let mut out: Map<String, Value> = fields.into_iter().filter(|(_, v)| !v.is_null()).collect();
    let reasoning = REASONING_FIELDS.iter().find_map(|name| out.get(*name)).cloned();
    if let Some(reasoning) = reasoning {
        if !out.contains_key("thinking") {
            out.shift_insert(0, "thinking".into(), reasoning.clone());
        }
        out.insert("reasoning_content".into(), reasoning);
    }
    Ok(Value::Object(out))
}

/// Which field of the last message is to be continued; true stands for its content.
fn continued_field(given: Option<&Value>) -> Option<String> {
    match given {
        Some(Value::Bool(true)) => Some("content".into()),
        Some(Value::String(field)) if !field.is_empty() => Some(field.clone()),
        _ => None,
    }
}

/// Marks the end of the last message's text, and gives that text.
fn mark_final_message(
    messages: &mut [Value],
    field: &str,
    source: &str,
) -> Result<String, Failure> {
    let missing = || Failure::refused("continue_final_message: nothing to continue");
    let last = messages.last_mut().and_then(Value::as_object_mut).ok_or_else(missing)?;
    let text = last.get(field).ok_or_else(missing)?.clone();
    let fields: Vec<&str> = match REASONING_FIELDS.contains(&field) {
        true => {
            REASONING_FIELDS.into_iter().filter(|name| last.get(*name) == Some(&text)).collect()
        }
        false => vec![field],
    };
    if !fields.iter().any(|name| source.contains(name)) {
        return Err(Failure::refused(
            "continue_final_message: the template does not use the field",
        ));
    }
    match text {
        Value::String(text) => {
            for name in fields {
                last.insert(name.into(), format!("{text}{CONTINUE_TAG}").into());
            }
            Ok(text)
        }
        Value::Array(_) => {
            let parts = last.get_mut(field).and_then(Value::as_array_mut).ok_or_else(missing)?;
            let part = parts.iter_mut().rev().find(|part| part["text"].is_string());
            let part = part.ok_or_else(missing)?;
            let text = part["text"].as_str().unwrap_or_default().to_owned();
            part["text"] = format!("{text}{CONTINUE_TAG}").into();
            Ok(text)
        }
        _ => Err(missing()),
    }
}

fn cut_final_message(text: String, last: &str) -> Result<String, Failure> {
    let at = text.rfind(CONTINUE_TAG.trim_end()).filter(|_| text.contains(last.trim()));
    let Some(at) = at else {
        return Err(Failure::refused("continue_final_message: the template leaves the text out"));
    };
    // A template that trims the text took the space of the mark too.
    let kept = &text[..at];
    let trimmed = !text[at..].starts_with(CONTINUE_TAG);
    Ok(if trimmed { kept.trim_end() } else { kept }.to_owned())
}

/// The body of a completion request: one prompt as text or as token ids.
pub fn completion(request: &[u8]) -> Result<Prompt, Failure> {
    let request: Value = serde_json::from_slice(request)
        .map_err(|error| Failure::invalid(format!("the request: {error}")))?;
    let special = request["add_special_tokens"].as_bool().unwrap_or(true);
    let prompt = match request["prompt"].as_array().map(Vec::as_slice) {
        Some([only]) if !only.is_number() => only,
        _ => &request["prompt"],
    };
    match prompt {
        Value::String(text) => Ok(Prompt { text: text.clone(), special, ..Prompt::default() }),
        Value::Array(ids) if ids.first().is_some_and(Value::is_number) => {
            let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
            let tokens: Option<Vec<u32>> = ids.iter().map(id).collect();
            let tokens = tokens.ok_or_else(|| Failure::invalid("a token id is no number"))?;
            Ok(Prompt { tokens, ..Prompt::default() })
        }
        Value::Array(_) => Err(Failure::refused("the request has several prompts")),
        _ => Err(Failure::invalid("the request has no prompt")),
    }
}
