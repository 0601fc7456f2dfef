//! Tells static programs from those that need a dynamic linker.

use std::io;
use std::path::Path;

const MAGIC: &[u8] = b"\x7fELF\x02\x01";
const PROGRAM_HEADERS_OFFSET: usize = 0x20;
const PROGRAM_HEADER_SIZE: usize = 0x36;
const PROGRAM_HEADER_COUNT: usize = 0x38;
/// The type of the program header that names the dynamic linker.
const PT_INTERP: u32 = 3;

/// Whether a file is a 64-bit program that starts without a dynamic linker.
pub(crate) fn is_static_program(file: &Path) -> io::Result<bool> {
    Ok(is_static(&std::fs::read(file)?).unwrap_or(false))
}

/// `None` when the bytes are no complete 64-bit little-endian ELF file.
pub(super) fn is_static(bytes: &[u8]) -> Option<bool> {
    bytes.starts_with(MAGIC).then_some(())?;
    let offset = usize::try_from(u64::from_le_bytes(field(bytes, PROGRAM_HEADERS_OFFSET)?)).ok()?;
    let size = usize::from(u16::from_le_bytes(field(bytes, PROGRAM_HEADER_SIZE)?));
    let count = usize::from(u16::from_le_bytes(field(bytes, PROGRAM_HEADER_COUNT)?));
    for index in 0..count {
        let header = offset.checked_add(index * size)?;
        if u32::from_le_bytes(field(bytes, header)?) == PT_INTERP {
            return Some(false);
        }
    }
    Some(true)
}

fn field<const SIZE: usize>(bytes: &[u8], offset: usize) -> Option<[u8; SIZE]> {
    bytes.get(offset..offset.checked_add(SIZE)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_of_this_machine_is_dynamic() {
        assert!(!is_static_program(Path::new("/bin/sh")).expect("it can be read"));
    }

    #[test]
    fn what_is_no_program_is_not_static() {
        assert_eq!(is_static(b"#!/bin/sh\n"), None);
        assert_eq!(is_static(MAGIC), None);
    }

    #[test]
    fn headers_decide() {
        let mut file = [MAGIC, &[0; 0x78 - 6]].concat();
        file[PROGRAM_HEADERS_OFFSET] = 0x40;
        file[PROGRAM_HEADER_SIZE] = 0x38;
        file[PROGRAM_HEADER_COUNT] = 1;
        file[0x40] = 1;
        assert_eq!(is_static(&file), Some(true));
        file[0x40] = 3;
        assert_eq!(is_static(&file), Some(false));
    }
}
