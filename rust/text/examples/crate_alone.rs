// SPDX-License-Identifier: Apache-2.0
//! The peer of bench/text: the tokenizers crate alone, one text, nothing remembered.
//!
//!     crate_alone TOKENIZER_JSON TEXT

use std::ffi::c_long;

unsafe extern "C" {
    fn clock() -> c_long;
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let tokenizer = tokenizers::Tokenizer::from_file(&arguments[1]).expect("a tokenizer.json");
    let text = std::fs::read_to_string(&arguments[2]).expect("a text");
    let before = unsafe { clock() };
    let encoding = tokenizer.encode_fast(text.as_str(), false).expect("tokens");
    let after = unsafe { clock() };
    println!("{{\"cold_us\": {}, \"tokens\": {}}}", after - before, encoding.get_ids().len());
}
