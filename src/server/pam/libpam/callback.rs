//! The conversation function that libpam calls.
//!
//! Linux-PAM and OpenPAM hand it its messages as an array of pointers, which is assumed here; Solaris hands
//! it a pointer to an array.

use std::{
    cell::RefCell,
    ffi::{c_char, c_int, c_void},
    ptr,
};

use libpam_sys as sys;
use zeroize::{Zeroize, Zeroizing};

use super::lossy;

/// Answers what PAM's modules ask while one of the calls below runs.
pub(in crate::server::pam) trait Conversation {
    /// The answers, one for each message; those to [`Style::Info`] and [`Style::Error`] are not looked at.
    /// `None` fails the conversation.
    fn converse(&mut self, messages: Vec<Message>) -> Option<Vec<Answer>>;
}

/// What is answered: text without NUL.
pub(in crate::server::pam) type Answer = Zeroizing<String>;

/// A message of a module's.
pub(in crate::server::pam) struct Message {
    pub(in crate::server::pam) style: Style,
    pub(in crate::server::pam) text: String,
}

/// What a module wants with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server::pam) enum Style {
    PromptEchoOff,
    PromptEchoOn,
    Error,
    Info,
}

/// The conversation function that libpam calls. A panic in it ends the process.
pub(super) unsafe extern "C" fn converse<C: Conversation>(
    count: c_int,
    messages: *const *const sys::pam_message,
    responses: *mut *mut sys::pam_response,
    conversation: *mut c_void,
) -> c_int {
    let Ok(count) = usize::try_from(count) else { return sys::PAM_CONV_ERR };
    let most = usize::try_from(sys::PAM_MAX_NUM_MSG).unwrap_or_default();
    if !(1..=most).contains(&count) || messages.is_null() || responses.is_null() || conversation.is_null() {
        return sys::PAM_CONV_ERR;
    }
    // SAFETY: it points into the `Rc` that the transaction holds, and is shared: `RefCell` guards it.
    let conversation = unsafe { &*conversation.cast::<RefCell<C>>() };
    // SAFETY: there are `count` pointers to messages, which live through this call.
    let messages: Option<Vec<_>> = (0..count).map(|index| unsafe { message(*messages.add(index)) }).collect();
    let answers = match (messages, conversation.try_borrow_mut()) {
        (Some(messages), Ok(mut conversation)) => conversation.converse(messages),
        _ => None,
    };
    match answers {
        // SAFETY: `responses` is where the caller wants a pointer to `count` responses.
        Some(answers) if answers.len() == count => unsafe { respond(&answers, responses) },
        _ => sys::PAM_CONV_ERR,
    }
}

/// # Safety
///
/// The pointer is null, or to a message whose text is null or ends in NUL.
unsafe fn message(message: *const sys::pam_message) -> Option<Message> {
    // SAFETY: the caller says so.
    let message = unsafe { message.as_ref() }?;
    let style = match message.msg_style {
        sys::PAM_PROMPT_ECHO_OFF => Style::PromptEchoOff,
        sys::PAM_PROMPT_ECHO_ON => Style::PromptEchoOn,
        sys::PAM_ERROR_MSG => Style::Error,
        sys::PAM_TEXT_INFO => Style::Info,
        _ => return None,
    };
    // SAFETY: the caller says so.
    let text = if message.msg.is_null() { String::new() } else { unsafe { lossy(message.msg) } };
    Some(Message { style, text })
}

/// Copies answers to memory of malloc's, which the module frees.
///
/// # Safety
///
/// `responses` may be written to.
unsafe fn respond(answers: &[Answer], responses: *mut *mut sys::pam_response) -> c_int {
    if answers.iter().any(|answer| answer.contains('\0')) {
        return sys::PAM_CONV_ERR;
    }
    // SAFETY: calloc takes any numbers.
    let array = unsafe { libc::calloc(answers.len(), size_of::<sys::pam_response>()) };
    let array = array.cast::<sys::pam_response>();
    if array.is_null() {
        return sys::PAM_BUF_ERR;
    }
    for (index, answer) in answers.iter().enumerate() {
        // SAFETY: calloc takes any numbers; the memory is all zero, so the text will end in NUL.
        let text = unsafe { libc::calloc(answer.len() + 1, 1) };
        if text.is_null() {
            // SAFETY: what was made so far is in the first `index` responses, and nobody else has it.
            unsafe { free_responses(array, index) };
            return sys::PAM_BUF_ERR;
        }
        // SAFETY: there is room for the answer, in memory of its own, and for `index` responses.
        unsafe {
            ptr::copy_nonoverlapping(answer.as_ptr(), text.cast::<u8>(), answer.len());
            (*array.add(index)).resp = text.cast::<c_char>();
        }
    }
    // SAFETY: the caller says so.
    unsafe { *responses = array };
    sys::PAM_SUCCESS
}

/// # Safety
///
/// The first `count` responses hold texts of malloc's, and none of it is used after this.
unsafe fn free_responses(array: *mut sys::pam_response, count: usize) {
    for index in 0..count {
        // SAFETY: the caller says so.
        unsafe {
            let text = (*array.add(index)).resp;
            let length = libc::strlen(text);
            std::slice::from_raw_parts_mut(text.cast::<u8>(), length).zeroize();
            libc::free(text.cast());
        }
    }
    // SAFETY: as above.
    unsafe { libc::free(array.cast()) };
}
