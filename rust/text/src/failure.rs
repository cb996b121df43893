// SPDX-License-Identifier: Apache-2.0
//! Why a call failed. Messages name files, fields and templates, never what a user wrote.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Status {
    Ok = 0,
    /// The folder, the request or the text cannot be read.
    Invalid = 1,
    /// A template ran for too long, or wrote too much.
    Limit = 2,
    /// The template refused the conversation, or it is of a kind that is not rendered here.
    Refused = 3,
    /// The code failed where it must not.
    Internal = 4,
}

#[derive(Debug)]
pub struct Failure {
    pub status: Status,
    pub message: String,
}

impl Failure {
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Failure { status, message: message.into() }
    }
    pub fn invalid(message: impl Into<String>) -> Self {
        Failure::new(Status::Invalid, message)
    }
    pub fn refused(message: impl Into<String>) -> Self {
        Failure::new(Status::Refused, message)
    }
}
