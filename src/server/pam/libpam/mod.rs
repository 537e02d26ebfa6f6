//! libpam: a transaction as a value, and the conversation as a trait. All that is unsafe about PAM is here.

#![allow(unsafe_code, reason = "libpam is written in C")]

mod callback;

use std::{
    cell::RefCell,
    ffi::{CStr, CString, OsStr, c_char, c_int, c_void},
    path::Path,
    ptr,
    rc::Rc,
};

use libpam_sys as sys;

pub(super) use callback::{Answer, Conversation, Message, Style};

/// A call failed: what PAM says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {text}")]
pub(super) struct Failure {
    call: &'static str,
    text: String,
    pub(super) code: c_int,
}

impl Failure {
    /// One of our own, that has a code of PAM's.
    pub(super) fn new(call: &'static str, code: c_int) -> Self {
        // SAFETY: the handle may be null. The text is static, or in a buffer of libpam's that the next call
        // overwrites, and there is one thread.
        let text = unsafe { sys::pam_strerror(ptr::null(), code) };
        // SAFETY: libpam's strings end in NUL.
        let text = if text.is_null() { "unknown".into() } else { unsafe { lossy(text) } };
        Self { call, text, code }
    }
}

/// A PAM transaction, which ends with this value.
pub(super) struct Transaction<C> {
    handle: *mut sys::pam_handle,
    /// What the last call returned, which pam_end(3) tells the modules.
    status: c_int,
    /// libpam has a pointer into it.
    _conversation: Rc<RefCell<C>>,
}

impl<C: Conversation> Transaction<C> {
    /// pam_start(3), or pam_start_confdir(3) with a folder of services.
    pub(super) fn start(
        service: &CStr,
        user: &CStr,
        services: Option<&Path>,
        conversation: Rc<RefCell<C>>,
    ) -> Result<Self, Failure> {
        let mut conv = sys::pam_conv {
            conv: callback::converse::<C>,
            appdata_ptr: Rc::as_ptr(&conversation).cast_mut().cast::<c_void>(),
        };
        let mut handle = ptr::null_mut();
        let status = match services {
            None => {
                // SAFETY: the strings end in NUL, and libpam copies them and `conv`. What `appdata_ptr`
                // points to lives as long as the handle.
                unsafe { sys::pam_start(service.as_ptr(), user.as_ptr(), &raw mut conv, &raw mut handle) }
            }
            Some(folder) => start_in(folder, service, user, &mut conv, &mut handle)?,
        };
        if status == sys::PAM_SUCCESS && !handle.is_null() {
            return Ok(Self { handle, status, _conversation: conversation });
        }
        if !handle.is_null() {
            // SAFETY: the handle is libpam's own, and is not used again.
            unsafe { sys::pam_end(handle, status) };
        }
        Err(Failure::new("pam_start", status))
    }

    /// Sets PAM_RHOST.
    pub(super) fn set_rhost(&mut self, host: &CStr) -> Result<(), Failure> {
        self.set_item(sys::PAM_RHOST, host)
    }

    /// Sets PAM_TTY.
    pub(super) fn set_tty(&mut self, tty: &CStr) -> Result<(), Failure> {
        self.set_item(sys::PAM_TTY, tty)
    }

    fn set_item(&mut self, item: c_int, value: &CStr) -> Result<(), Failure> {
        self.call("pam_set_item", |handle| {
            // SAFETY: the items that come here are strings, which libpam copies.
            unsafe { sys::pam_set_item(handle, item, value.as_ptr().cast()) }
        })
    }

    /// PAM_USER, which modules may change.
    pub(super) fn user(&mut self) -> Result<Option<CString>, Failure> {
        let mut item = ptr::null();
        self.call("pam_get_item", |handle| {
            // SAFETY: `item` lives through the call.
            unsafe { sys::pam_get_item(handle, sys::PAM_USER, &raw mut item) }
        })?;
        if item.is_null() {
            return Ok(None);
        }
        // SAFETY: PAM_USER is a string that ends in NUL and is libpam's until it is set again.
        Ok(Some(unsafe { CStr::from_ptr(item.cast::<c_char>()) }.to_owned()))
    }

    /// pam_putenv(3) of `NAME=value`.
    pub(super) fn put_environment(&mut self, variable: &CStr) -> Result<(), Failure> {
        self.call("pam_putenv", |handle| {
            // SAFETY: libpam copies the string.
            unsafe { sys::pam_putenv(handle, variable.as_ptr()) }
        })
    }

    /// pam_getenvlist(3).
    pub(super) fn environment(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut variables = Vec::new();
        // SAFETY: the handle is open. The list and its strings are ours to free.
        let list = unsafe { sys::pam_getenvlist(self.handle) };
        if list.is_null() {
            return variables;
        }
        for index in 0.. {
            // SAFETY: the list ends with a null pointer, where this loop does.
            let entry = unsafe { *list.add(index) };
            if entry.is_null() {
                break;
            }
            // SAFETY: libpam's strings end in NUL.
            let bytes = unsafe { CStr::from_ptr(entry) }.to_bytes();
            if let Some(equals) = bytes.iter().position(|byte| *byte == b'=') {
                variables.push((bytes[..equals].to_vec(), bytes[equals + 1..].to_vec()));
            }
            // SAFETY: malloc made it, and nothing refers to it any more.
            unsafe { libc::free(entry.cast()) };
        }
        // SAFETY: as above.
        unsafe { libc::free(list.cast()) };
        variables
    }

    /// pam_authenticate(3).
    pub(super) fn authenticate(&mut self, permit_empty_passwords: bool) -> Result<(), Failure> {
        let flags = if permit_empty_passwords { 0 } else { sys::PAM_DISALLOW_NULL_AUTHTOK };
        // SAFETY: the handle is open.
        self.call("pam_authenticate", |handle| unsafe { sys::pam_authenticate(handle, flags) })
    }

    /// pam_acct_mgmt(3).
    pub(super) fn check_account(&mut self) -> Result<(), Failure> {
        // SAFETY: the handle is open.
        self.call("pam_acct_mgmt", |handle| unsafe { sys::pam_acct_mgmt(handle, 0) })
    }

    /// pam_chauthtok(3) of a password that has expired.
    pub(super) fn change_expired_password(&mut self) -> Result<(), Failure> {
        let flags = sys::PAM_CHANGE_EXPIRED_AUTHTOK;
        // SAFETY: the handle is open.
        self.call("pam_chauthtok", |handle| unsafe { sys::pam_chauthtok(handle, flags) })
    }

    /// pam_setcred(3): PAM_ESTABLISH_CRED.
    pub(super) fn establish_credentials(&mut self) -> Result<(), Failure> {
        // SAFETY: the handle is open.
        self.call("pam_setcred", |handle| unsafe { sys::pam_setcred(handle, sys::PAM_ESTABLISH_CRED) })
    }

    /// pam_setcred(3): PAM_DELETE_CRED.
    pub(super) fn delete_credentials(&mut self) -> Result<(), Failure> {
        // SAFETY: the handle is open.
        self.call("pam_setcred", |handle| unsafe { sys::pam_setcred(handle, sys::PAM_DELETE_CRED) })
    }

    /// pam_open_session(3).
    pub(super) fn open_session(&mut self) -> Result<(), Failure> {
        // SAFETY: the handle is open.
        self.call("pam_open_session", |handle| unsafe { sys::pam_open_session(handle, 0) })
    }

    /// pam_close_session(3), without a word.
    pub(super) fn close_session(&mut self) -> Result<(), Failure> {
        let flags = sys::PAM_SILENT;
        // SAFETY: the handle is open.
        self.call("pam_close_session", |handle| unsafe { sys::pam_close_session(handle, flags) })
    }

    fn call(
        &mut self,
        call: &'static str,
        run: impl FnOnce(*mut sys::pam_handle) -> c_int,
    ) -> Result<(), Failure> {
        self.status = run(self.handle);
        if self.status == sys::PAM_SUCCESS { Ok(()) } else { Err(Failure::new(call, self.status)) }
    }
}

impl<C> Drop for Transaction<C> {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and nobody uses it after this.
        unsafe { sys::pam_end(self.handle, self.status) };
    }
}

#[cfg(target_os = "linux")]
fn start_in(
    folder: &Path,
    service: &CStr,
    user: &CStr,
    conv: &mut sys::pam_conv,
    handle: &mut *mut sys::pam_handle,
) -> Result<c_int, Failure> {
    let folder = CString::new(OsStr::as_encoded_bytes(folder.as_os_str()));
    let folder = folder.map_err(|_| Failure::new("pam_start_confdir", sys::PAM_SYSTEM_ERR))?;
    // SAFETY: as of pam_start; the folder is copied as well.
    Ok(unsafe { sys::pam_start_confdir(service.as_ptr(), user.as_ptr(), conv, folder.as_ptr(), handle) })
}

#[cfg(not(target_os = "linux"))]
fn start_in(
    _: &Path,
    _: &CStr,
    _: &CStr,
    _: &mut sys::pam_conv,
    _: &mut *mut sys::pam_handle,
) -> Result<c_int, Failure> {
    Err(Failure::new("pam_start_confdir", sys::PAM_SYSTEM_ERR))
}

/// # Safety
///
/// The text ends in NUL.
unsafe fn lossy(text: *const c_char) -> String {
    // SAFETY: the caller says so.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
