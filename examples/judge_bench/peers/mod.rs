//! What others judge a rollout with, as far as it can be had for the same recordings. Each is ported from its source or its
//! manual, gets the same three minutes of settling, and every cell's values relative to that cell's own history.

mod cusum;
mod inputs;
mod kayenta;
mod thresholds;

pub use cusum::Cusum;
pub use inputs::Level;
pub use kayenta::{Inputs as KayentaInputs, Kayenta, Looks};
pub use thresholds::{Argo, Compared, Flagger, MOfN};
