//! Change windows and freezes. The arithmetic is the model's, because a pipeline whose calendar never opens is refused when it is read.

pub use crate::model::calendar::standing::{Standing, ever_opens, standing};
