//! What several fuzz targets share: a cloud whose answers the fuzzer writes, and properties that hold for every document.
//!
//! Each target is one file in `targets/`; `run` builds them all at once and runs them. A property is an `assert!`: the fuzzer
//! counts a panic as a crash and keeps the input in `artifacts/`.

pub mod canned;
pub mod documents;
pub mod records;
pub mod text;
