//! OpenSSH's private key files, all that ssh-keygen writes.
//!
//! ssh-key wants the scalar of an ECDSA key to be 32 bytes long at least. OpenSSH writes an mpint,
//! which has no leading zeros (RFC 4251 section 5), so one P-256 key in 512 is shorter and is refused.
//! Such a key is read here.

use russh::keys::{
    self,
    ssh_key::{
        Cipher, Error, Kdf, PrivateKey,
        cipher::Tag,
        encoding::{
            Decode, Reader,
            pem::{DecodePem, PemLabel},
        },
        private::{EcdsaKeypair, EcdsaPrivateKey, KeypairData},
        public::{EcdsaPublicKey, KeyData},
    },
};
use zeroize::Zeroizing;

/// The names of the key's type and of its curve (RFC 5656 sections 3.1 and 6.1).
const P256: [&str; 2] = ["ecdsa-sha2-nistp256", "nistp256"];
const SCALAR: usize = 32;

/// Reads a key in OpenSSH's format. One under a passphrase stays encrypted.
///
/// # Errors
///
/// It is no such key.
pub(crate) fn from_openssh(text: &[u8]) -> Result<PrivateKey, Error> {
    PrivateKey::from_openssh(text).or_else(|error| short_scalar(text, None).map_err(|_| error))
}

/// Reads a key in any format that ssh reads.
///
/// # Errors
///
/// It is no key, it is encrypted and there is no passphrase, or the passphrase does not fit.
pub(crate) fn decode(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, keys::Error> {
    match keys::decode_secret_key(text, passphrase) {
        Err(error) if !matches!(error, keys::Error::KeyIsEncrypted) => {
            short_scalar(text.as_bytes(), passphrase).map_err(|_| error)
        }
        read => read,
    }
}

fn short_scalar(text: &[u8], passphrase: Option<&str>) -> Result<PrivateKey, Error> {
    let mut file = KeyFile::decode_pem(text)?;
    if file.cipher.is_some() {
        let passphrase = passphrase.ok_or(Error::Encrypted)?;
        let (key, iv) = file.kdf.derive_key_and_iv(file.cipher, passphrase)?;
        file.cipher.decrypt(&key, &iv, &mut file.private, file.tag)?;
    }
    file.p256()
}

/// OpenSSH's PROTOCOL.key, with what is private not looked into.
struct KeyFile {
    cipher: Cipher,
    kdf: Kdf,
    public: KeyData,
    private: Zeroizing<Vec<u8>>,
    tag: Option<Tag>,
}

impl PemLabel for KeyFile {
    const PEM_LABEL: &'static str = PrivateKey::PEM_LABEL;
}

impl Decode for KeyFile {
    type Error = Error;

    fn decode(reader: &mut impl Reader) -> Result<Self, Error> {
        let mut magic = [0; 15];
        if reader.read(&mut magic)? != b"openssh-key-v1\0" {
            return Err(Error::FormatEncoding);
        }
        let cipher = Cipher::decode(reader)?;
        let kdf = Kdf::decode(reader)?;
        if u32::decode(reader)? != 1 {
            return Err(Error::FormatEncoding);
        }
        let public = reader.read_prefixed(KeyData::decode)?;
        let private = Zeroizing::new(Vec::decode(reader)?);
        let mut tag = Tag::default();
        if cipher.has_tag() {
            reader.read(&mut tag)?;
        }
        Ok(Self { cipher, kdf, public, private, tag: cipher.has_tag().then_some(tag) })
    }
}

impl KeyFile {
    /// The key, of what was decrypted.
    fn p256(&self) -> Result<PrivateKey, Error> {
        let KeyData::Ecdsa(EcdsaPublicKey::NistP256(public)) = &self.public else {
            return Err(Error::FormatEncoding);
        };
        let reader = &mut self.private.as_slice();
        // The two are equal if the passphrase was right.
        if u32::decode(reader)? != u32::decode(reader)? {
            return Err(Error::Crypto);
        }
        if [String::decode(reader)?, String::decode(reader)?] != P256 {
            return Err(Error::FormatEncoding);
        }
        if Vec::<u8>::decode(reader)? != public.as_bytes() {
            return Err(Error::PublicKey);
        }
        let short = Zeroizing::new(Vec::<u8>::decode(reader)?);
        let zeros = SCALAR.checked_sub(short.len()).ok_or(Error::FormatEncoding)?;
        let mut scalar = Zeroizing::new([0; SCALAR]);
        scalar[zeros..].copy_from_slice(&short);
        let comment = Vec::<u8>::decode(reader)?;
        let pair = EcdsaKeypair::NistP256 { public: *public, private: EcdsaPrivateKey::from(*scalar) };
        PrivateKey::new(KeypairData::Ecdsa(pair), comment)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

    use russh::keys::ssh_key::{HashAlg, PublicKey};

    use super::*;

    /// Made by ssh-keygen, after some thousand others. It opens nothing.
    const SHORT: &str = include_str!("private_key/short_ecdsa_key");

    fn ssh_keygen(arguments: &[&str], file: &Path) -> String {
        let done =
            Command::new("ssh-keygen").args(arguments).arg("-f").arg(file).output().expect("ssh-keygen");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).expect("text")
    }

    #[test]
    fn an_ecdsa_key_of_fewer_bytes_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        fs::write(&file, SHORT).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("mode");
        let public = PublicKey::from_openssh(ssh_keygen(&["-y"], &file).trim()).expect("a key");
        assert!(PrivateKey::from_openssh(SHORT).is_err(), "ssh-key reads it by itself");

        let key = from_openssh(SHORT.as_bytes()).expect("read");
        assert_eq!(key.public_key(), &public);
        let signed = key.sign("file", HashAlg::Sha512, b"text").expect("signed");
        key.public_key().verify("file", b"text", &signed).expect("verified");

        let mut old = String::new();
        for cipher in ["aes256-ctr", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"] {
            ssh_keygen(&["-q", "-p", "-P", &old, "-N", cipher, "-Z", cipher], &file);
            let text = fs::read_to_string(&file).expect("read");
            assert!(from_openssh(text.as_bytes()).expect("read").is_encrypted());
            assert!(matches!(decode(&text, None), Err(keys::Error::KeyIsEncrypted)));
            assert!(decode(&text, Some("another")).is_err());
            assert_eq!(decode(&text, Some(cipher)).expect("read"), key, "{cipher}");
            cipher.clone_into(&mut old);
        }
    }
}
