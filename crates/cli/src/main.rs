//! The binary `vaultref`.

#[cfg_attr(not(test), expect(dead_code, reason = "`run --mask` calls it"))]
mod mask;
#[cfg_attr(not(test), expect(dead_code, reason = "`run --mask` calls it"))]
mod supervise;

fn main() {}
