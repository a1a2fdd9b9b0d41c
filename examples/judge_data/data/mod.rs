//! Recordings of real rollouts, for measuring judges: ChangeRCA's staged pod releases and PetShop's incidents; and a scorer.

pub mod changerca;
pub mod jsonl;
pub mod label;
pub mod petshop;
pub mod pods;
pub mod report;
pub mod score;
pub mod table;
