// SPDX-License-Identifier: Apache-2.0
//! Text to tokens behind a C ABI: tokenizers and chat templates of a Hugging Face folder. The
//! contract is in include/fairlead_text.h. No panic leaves a function of the ABI.

pub mod chat;
mod content;
pub mod cuts;
mod failure;
mod folder;
mod python;

use std::ffi::{OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use chat::{ChatTemplates, Form, Prompt};
use cuts::Cuts;
use failure::{Failure, Status};
use tokenizers::Tokenizer;

/// One model's text side. Immutable: any thread may use it.
pub struct Model {
    tokenizer: Tokenizer,
    chat: ChatTemplates,
    cuts: Cuts,
    /// What the tokenizer puts around a text when asked for special tokens; absent when that is
    /// not the same around every text.
    around: Option<(Vec<u32>, Vec<u32>)>,
}

impl Model {
    pub fn load(folder: &Path) -> Result<Model, String> {
        load(folder).map_err(|failure| failure.message)
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, Failure> {
        match self.tokenizer.encode_fast(text, false) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            // The crate's message may quote the text.
            Err(_) => Err(Failure::invalid("the tokenizer cannot read the text")),
        }
    }
}

fn load(folder: &Path) -> Result<Model, Failure> {
    let found = folder::load(folder)?;
    let cuts = cuts::cuts(&found.tokenizer);
    let around = around(&found.tokenizer);
    let chat = ChatTemplates::new(found.templates, found.special_tokens)?;
    Ok(Model { tokenizer: found.tokenizer, chat, cuts, around })
}

fn around(tokenizer: &Tokenizer) -> Option<(Vec<u32>, Vec<u32>)> {
    let mut found = None;
    for probe in ["a", "two words\n"] {
        let plain = tokenizer.encode_fast(probe, false).ok()?;
        let whole = tokenizer.encode_fast(probe, true).ok()?;
        let (plain, whole) = (plain.get_ids(), whole.get_ids());
        let at = whole.windows(plain.len().max(1)).position(|window| window == plain)?;
        let sides = (whole[..at].to_vec(), whole[at + plain.len()..].to_vec());
        if *found.get_or_insert_with(|| sides.clone()) != sides {
            return None;
        }
    }
    found
}

pub type Sink =
    Option<unsafe extern "C" fn(context: *mut c_void, data: *const c_void, size: usize)>;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text {
    data: *const u8,
    size: usize,
}

impl Text {
    /// # Safety
    /// `data` points to `size` bytes that outlive the answer; or size is 0.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.size == 0 {
            return &[];
        }
        unsafe { std::slice::from_raw_parts(self.data, self.size) }
    }
}

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Out {
    context: *mut c_void,
    sink: Sink,
}

impl Out {
    fn give<T: Copy>(self, values: &[T]) {
        if let Some(sink) = self.sink {
            unsafe { sink(self.context, values.as_ptr().cast(), values.len()) }
        }
    }
}

fn guarded(error: Out, work: impl FnOnce() -> Result<(), Failure>) -> Status {
    let failure = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return Status::Ok,
        Ok(Err(failure)) => failure,
        Err(_) => Failure::new(Status::Internal, "internal failure"),
    };
    error.give(failure.message.as_bytes());
    failure.status
}

/// # Safety
/// As include/fairlead_text.h says; so for all below.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fairlead_text_load(
    folder: Text,
    model: *mut *mut Model,
    error: Out,
) -> Status {
    guarded(error, || {
        let path = Path::new(OsStr::from_bytes(unsafe { folder.bytes() }));
        let loaded = Box::new(load(path)?);
        unsafe { *model = Box::into_raw(loaded) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fairlead_text_free(model: *mut Model) {
    if !model.is_null() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(unsafe { Box::from_raw(model) })));
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fairlead_text_encode(
    model: *const Model,
    text: Text,
    tokens: Out,
    error: Out,
) -> Status {
    guarded(error, || {
        let model = unsafe { &*model };
        let text = std::str::from_utf8(unsafe { text.bytes() })
            .map_err(|_| Failure::invalid("the text is no UTF-8"))?;
        tokens.give(&model.encode(text)?);
        Ok(())
    })
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct PromptOut {
    text: Out,
    tokens: Out,
    special: *mut u32,
    media: *mut u32,
}

impl PromptOut {
    fn give(self, prompt: &Prompt) {
        self.text.give(prompt.text.as_bytes());
        self.tokens.give(&prompt.tokens);
        unsafe {
            *self.special = u32::from(prompt.special);
            *self.media = prompt.media;
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fairlead_text_chat(
    model: *const Model,
    request: Text,
    engine_form: u32,
    unix_seconds: i64,
    prompt: PromptOut,
    error: Out,
) -> Status {
    guarded(error, || {
        let form = if engine_form == 0 { Form::Plain } else { Form::Engine };
        let chat = &unsafe { &*model }.chat;
        prompt.give(&chat.render(unsafe { request.bytes() }, form, unix_seconds)?);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fairlead_text_completion(
    request: Text,
    prompt: PromptOut,
    error: Out,
) -> Status {
    guarded(error, || {
        prompt.give(&chat::completion(unsafe { request.bytes() })?);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fairlead_text_has_chat(model: *const Model) -> u32 {
    u32::from(!unsafe { &*model }.chat.is_empty())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fairlead_text_line_cuts(model: *const Model) -> u32 {
    u32::from(unsafe { &*model }.cuts.lines)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fairlead_text_separators(model: *const Model, each: Out) {
    for separator in &unsafe { &*model }.cuts.separators {
        each.give(separator.as_bytes());
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fairlead_text_around(model: *const Model, before: Out, after: Out) -> u32 {
    let Some((first, last)) = &unsafe { &*model }.around else {
        return 0;
    };
    before.give(first);
    after.give(last);
    1
}
