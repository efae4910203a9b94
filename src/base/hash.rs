//! Content addresses: SHA-256 over length-prefixed parts, printed as hex.

use sha2::{Digest, Sha256};

/// Collects parts and gives their address. Parts are length-prefixed, so ("ab", "c") and ("a", "bc") differ.
#[derive(Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// An empty address.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one part.
    pub fn part(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.update(bytes);
        self
    }

    /// Adds one part in place.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.begin(bytes.len() as u64);
        self.more(bytes);
    }

    /// Begins a part of so many bytes, which [`Hasher::more`] adds: for a part that memory does not hold as a whole.
    pub fn begin(&mut self, bytes: u64) {
        self.0.update(bytes.to_le_bytes());
    }

    /// Adds some of the bytes of the part that [`Hasher::begin`] began.
    pub fn more(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The address as 64 hex digits.
    pub fn hex(self) -> String {
        self.0.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }

    /// The first 16 hex digits: enough for a folder name.
    pub fn short(self) -> String {
        self.hex()[..16].to_string()
    }
}

/// The SHA-256 of bytes as 64 hex digits: what `sha256sum` prints for a file with these bytes.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::Hasher;

    #[test]
    fn parts_do_not_run_together() {
        let a = Hasher::new().part("ab").part("c").hex();
        let b = Hasher::new().part("a").part("bc").hex();
        assert_ne!(a, b);
        assert_eq!(a.len(), 64);
    }
}
