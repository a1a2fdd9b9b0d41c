//! One tick of counts: bad events among all events, in the treated cells and in the others, as an e-value.
//!
//! Given `S` bad events in both groups together, how many of them the treated cells have does not depend on what the hour does to all
//! of them: a time-varying intensity cancels (Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022,
//! arXiv 2011.03567). Cells differ by more than chance, so that the share is beta-binomial, with the overdispersion of the history.

/// The ratios that are tried as alternatives. A mixture over them loses the logarithm of their number against knowing the true one.
pub const RATIOS: [f64; 5] = [1.5, 2.0, 4.0, 10.0, 30.0];
/// No single tick multiplies the evidence by more: one point never decides. `min(e, 10)` is still an e-value.
pub const CAP: f64 = 20.0;
/// Beyond this the share says nothing at all; it also keeps the beta function's arguments positive.
const MOST_RHO: f64 = 0.5;

/// What both groups show in one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Groups {
    /// Bad events in the treated cells.
    pub treated_bad: f64,
    /// Bad events in both groups.
    pub all_bad: f64,
    /// Bad events that the treated cells' own history would have, at this tick's traffic.
    pub treated_expected: f64,
    /// The same for the others.
    pub control_expected: f64,
    /// How unevenly both groups' expectations are spread over their cells: the sum of squared shares. 2 for one cell against one.
    pub spread: f64,
}

impl Groups {
    /// Adds one cell: `bad` of events at a tick where its history would have `expected`. `squares` collects the squared expectation.
    pub fn add(&mut self, squares: &mut [f64; 2], treated: bool, bad: f64, expected: f64) {
        let [of_treated, of_control] = squares;
        self.all_bad += bad;
        if treated {
            self.treated_bad += bad;
            self.treated_expected += expected;
            *of_treated += expected * expected;
        } else {
            self.control_expected += expected;
            *of_control += expected * expected;
        }
    }

    /// Fills in the spread, once every cell is added; none where one group has no expectation: there is nothing to compare.
    pub fn close(mut self, squares: [f64; 2]) -> Option<Self> {
        let [of_treated, of_control] = squares;
        if self.treated_expected <= 0.0 || self.control_expected <= 0.0 {
            return None;
        }
        self.spread = of_treated / self.treated_expected.powi(2) + of_control / self.control_expected.powi(2);
        Some(self)
    }

    /// The treated cells' share of the bad events where their rate is `ratio` times what it should be.
    pub fn share(&self, ratio: f64) -> f64 {
        let treated = self.treated_expected * ratio;
        treated / (treated + self.control_expected)
    }

    /// The overdispersion of the share at `share`, where the logarithm of a cell's rate has the variance `v` from tick to tick.
    pub fn rho(&self, share: f64, v: f64) -> f64 {
        (share * (1.0 - share) * v * self.spread).clamp(0.0, MOST_RHO)
    }

    /// Natural logarithm of the likelihood of this tick at a ratio, up to what does not depend on the ratio.
    pub fn ln_likelihood(&self, ratio: f64, rho: f64) -> f64 {
        ln_beta_binomial(self.treated_bad, self.all_bad, self.share(ratio), rho)
    }

    /// Natural logarithms of the e-values against "the ratio is at most `boundary`", one for each of `ratios` times the boundary,
    /// capped. All zero where nothing bad happened.
    pub fn ln_e(&self, boundary: f64, v: f64, ratios: impl Iterator<Item = f64>) -> Vec<f64> {
        let null = self.share(boundary);
        let rho = self.rho(null, v);
        let at_null = ln_beta_binomial(self.treated_bad, self.all_bad, null, rho);
        ratios
            .map(|ratio| {
                let there = ln_beta_binomial(self.treated_bad, self.all_bad, self.share(boundary * ratio), rho);
                (there - at_null).min(CAP.ln())
            })
            .collect()
    }
}

/// Without the binomial coefficient, which cancels in every ratio.
fn ln_beta_binomial(bad: f64, all: f64, share: f64, rho: f64) -> f64 {
    if all <= 0.0 {
        return 0.0;
    }
    if rho * all < 1e-9 {
        return bad * share.ln() + (all - bad) * (1.0 - share).ln();
    }
    let weight = (1.0 - rho) / rho;
    let (a, b) = (share * weight, (1.0 - share) * weight);
    ln_beta(bad + a, all - bad + b) - ln_beta(a, b)
}

fn ln_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}
