//! The binary `vaultref`.

#[cfg_attr(not(test), expect(dead_code, reason = "`run --mask` calls it"))]
#[expect(unused_imports, reason = "`run --mask` calls it")]
mod mask;

fn main() {}
