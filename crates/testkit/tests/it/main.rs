//! The test kit's own tests: what other tests take for granted must hold.

#[cfg(test)]
mod fixture;
