// SPDX-License-Identifier: Apache-2.0
//! What the measurements ask of an index.

use crate::ops::Op;

/// How a lookup hands over its result: a suffix of the metric's name.
pub type Form = &'static str;

pub trait Writer {
    /// Takes an operation into the index's own form; not measured.
    fn load(&mut self, op: &Op);
    /// Applies what is loaded; processor time in ns.
    fn apply(&mut self) -> u64;
    fn forget_loaded(&mut self);
    /// Applies what is loaded one by one: the dearest, in ns, where the index can tell.
    fn worst_ns(&mut self) -> Option<u64> {
        self.apply();
        None
    }
    /// Forgets all that a pod holds; ns that the caller waits for.
    fn retire(&mut self, pod: usize) -> u64;
}

pub trait Reader {
    const FORMS: &'static [Form];
    fn depths(&mut self, contents: &[u64], out: &mut [u32]);
    fn lookup_ticks(&mut self, contents: &[u64], form: Form) -> u64;
}
