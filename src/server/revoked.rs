//! Keys that are refused: the file of `RevokedKeys`, as text or as a KRL (ssh-keygen(1), KEY REVOCATION
//! LISTS; OpenSSH's PROTOCOL.krl).

use std::ops::RangeInclusive;

use russh::keys::ssh_key::{Certificate, HashAlg, PublicKey, public::KeyData};

use crate::ssh_wire::{Reader, Truncated};

const MAGIC: &[u8] = b"SSHKRL\n\0";

/// A KRL is damaged or says what is not understood. Then every key counts as revoked, as in sshd.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KrlError {
    /// It ends too early, or a length in it is wrong.
    #[error("the list of revoked keys is damaged")]
    Damaged,
    /// It is of a later format.
    #[error("the list of revoked keys is of format {0}, and only 1 is known here")]
    Version(u32),
    /// It has a part of a kind that is not known.
    #[error("the list of revoked keys has a section of the unknown kind {0}")]
    Section(u8),
    /// It has SHA-1 hashes.
    #[error("the list of revoked keys has SHA-1 hashes: make it with sha256: instead of sha1:")]
    Sha1,
}

impl From<Truncated> for KrlError {
    fn from(_: Truncated) -> Self {
        Self::Damaged
    }
}

/// Keys and certificates that are refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedKeys {
    keys: Vec<KeyData>,
    blobs: Vec<Vec<u8>>,
    sha256: Vec<Vec<u8>>,
    certificates: Vec<RevokedCertificates>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct RevokedCertificates {
    /// `None` for any authority.
    authority: Option<Vec<u8>>,
    serials: Vec<RangeInclusive<u64>>,
    key_ids: Vec<Vec<u8>>,
}

impl RevokedKeys {
    /// Reads a file: a KRL, or lines that begin with a key or certificate. What follows the key is a comment
    /// in any encoding. A line that is none makes the whole an error, as in sshd: a key that was to be refused
    /// may be on it.
    ///
    /// # Errors
    ///
    /// [`KrlError`].
    pub fn parse(file: &[u8]) -> Result<Self, KrlError> {
        let mut read = Self::default();
        match file.strip_prefix(MAGIC) {
            Some(body) => read.read_krl(&mut Reader(body))?,
            None => read.keys = read_lines(file)?,
        }
        Ok(read)
    }

    /// Whether nothing is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a plain key is refused.
    #[must_use]
    pub fn revokes(&self, key: &KeyData) -> bool {
        let key = PublicKey::from(key.clone());
        let hash = key.fingerprint(HashAlg::Sha256);
        // A key that cannot be written is not one to let in.
        let Ok(blob) = key.to_bytes() else { return true };
        self.keys.contains(key.key_data())
            || self.blobs.contains(&blob)
            || self.sha256.iter().any(|revoked| revoked == hash.as_bytes())
    }

    /// Whether a certificate is refused: by itself, by its key or by its authority's key.
    #[must_use]
    pub fn revokes_certificate(&self, certificate: &Certificate) -> bool {
        let Ok(authority) = PublicKey::from(certificate.signature_key().clone()).to_bytes() else {
            return true;
        };
        let listed = |list: &RevokedCertificates| {
            let serial = certificate.serial();
            let of_authority = list.authority.as_ref().is_none_or(|known| *known == authority);
            of_authority
                && (list.key_ids.iter().any(|id| id == certificate.key_id().as_bytes())
                    // 0 is the serial number of an authority that gives none.
                    || serial != 0 && list.serials.iter().any(|range| range.contains(&serial)))
        };
        self.revokes(certificate.public_key())
            || self.revokes(certificate.signature_key())
            || self.certificates.iter().any(listed)
    }

    fn read_krl(&mut self, body: &mut Reader<'_>) -> Result<(), KrlError> {
        let version = body.uint32()?;
        if version != 1 {
            return Err(KrlError::Version(version));
        }
        // Version of the list, date, flags; a reserved string and a comment.
        let _ = (body.uint64()?, body.uint64()?, body.uint64()?, body.string()?, body.string()?);
        while !body.0.is_empty() {
            let kind = body.byte()?;
            let mut section = Reader(body.string()?);
            match kind {
                1 => self.certificates.push(RevokedCertificates::read(&mut section)?),
                2 => read_all(section, &mut self.blobs)?,
                3 if section.0.is_empty() => {}
                3 => return Err(KrlError::Sha1),
                5 => read_all(section, &mut self.sha256)?,
                // A signature, of which sshd asks nothing either: whoever writes the file is trusted.
                4 => drop(body.string()?),
                kind => return Err(KrlError::Section(kind)),
            }
        }
        Ok(())
    }
}

impl RevokedCertificates {
    fn read(section: &mut Reader<'_>) -> Result<Self, KrlError> {
        let authority = section.string()?;
        let _reserved = section.string()?;
        let authority = (!authority.is_empty()).then(|| authority.to_vec());
        let mut read = Self { authority, ..Self::default() };
        while !section.0.is_empty() {
            let kind = section.byte()?;
            let mut part = Reader(section.string()?);
            match kind {
                0x20 => {
                    while !part.0.is_empty() {
                        let serial = part.uint64()?;
                        read.serials.push(serial..=serial);
                    }
                }
                0x21 => read.serials.push(part.uint64()?..=part.uint64()?),
                0x22 => read.read_bitmap(&mut part)?,
                0x23 => read_all(part, &mut read.key_ids)?,
                kind => return Err(KrlError::Section(kind)),
            }
        }
        Ok(read)
    }

    /// A serial number a bit, from the lowest of a number.
    fn read_bitmap(&mut self, part: &mut Reader<'_>) -> Result<(), KrlError> {
        let first = part.uint64()?;
        for (index, byte) in part.string()?.iter().rev().enumerate() {
            for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
                let offset = index as u64 * 8 + bit;
                let serial = first.checked_add(offset).ok_or(KrlError::Damaged)?;
                self.serials.push(serial..=serial);
            }
        }
        Ok(())
    }
}

fn read_lines(file: &[u8]) -> Result<Vec<KeyData>, KrlError> {
    let lines = file.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let keys = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    keys.map(|line| parse_line(line).ok_or(KrlError::Damaged)).collect()
}

/// Whether a file of keys, one a line, has this one as sshd's `sshkey_in_file` reads it: what follows a key is
/// a comment, and a line that begins with options, or with anything else that is no key, has none.
pub(super) fn lists(file: &[u8], key: &KeyData) -> bool {
    let plain = |line| PublicKey::from_openssh(&first_words(line)?).ok();
    file.split(|&byte| byte == b'\n').any(|line| plain(line).is_some_and(|listed| listed.key_data() == key))
}

fn parse_line(line: &[u8]) -> Option<KeyData> {
    let text = first_words(line)?;
    // A certificate stands for its key.
    match Certificate::from_openssh(&text) {
        Ok(certificate) => Some(certificate.public_key().clone()),
        Err(_) => PublicKey::from_openssh(&text).ok().map(|key| key.key_data().clone()),
    }
}

/// What would be the type of a key and its blob.
fn first_words(line: &[u8]) -> Option<String> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut word = || std::str::from_utf8(words.next()?).ok();
    Some(format!("{} {}", word()?, word()?))
}

fn read_all(mut strings: Reader<'_>, into: &mut Vec<Vec<u8>>) -> Result<(), KrlError> {
    while !strings.0.is_empty() {
        into.push(strings.string()?.to_vec());
    }
    Ok(())
}

#[cfg(test)]
#[path = "revoked_tests.rs"]
mod tests;
