//! The program that is shipped.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::MTU_AGENT;
use super::table::Table;

const MEGABYTES: f64 = 15.0;
/// `sh_type` of the symbols that `strip` removes (`elf(5)`).
const SHT_SYMTAB: u32 = 2;

pub(super) fn measure(table: &mut Table) -> Result<()> {
    let binary = fs::read(MTU_AGENT).context("read the binary")?;
    let megabytes = f64::from(u32::try_from(binary.len())?) / 1e6;
    table.at_most("release binary", megabytes, MEGABYTES, "MB");
    let stripped = !has_symbols(&binary).context("understand the binary's section headers")?;
    table.holds("  stripped", if stripped { "yes" } else { "no" }, stripped);
    Ok(())
}

/// Whether an ELF file of 64 bits, little-endian, has a table of symbols.
fn has_symbols(elf: &[u8]) -> Result<bool> {
    ensure!(elf.starts_with(b"\x7fELF\x02\x01"), "it is no such file");
    let bytes = |at: usize, length: usize| elf.get(at..at + length).context("the file ends early");
    let half = |at: usize| Ok::<_, anyhow::Error>(usize::from(u16::from_le_bytes(bytes(at, 2)?.try_into()?)));
    let table = usize::try_from(u64::from_le_bytes(bytes(0x28, 8)?.try_into()?))?;
    let (size, count) = (half(0x3a)?, half(0x3c)?);
    for section in 0..count {
        let kind = u32::from_le_bytes(bytes(table + section * size + 4, 4)?.try_into()?);
        if kind == SHT_SYMTAB {
            return Ok(true);
        }
    }
    Ok(false)
}
