//! Outages that happened, replayed against the real daemon in the simulated world: each is stopped by the guard that
//! `docs/architecture.md` names beside it, and where that guard can be removed, the same scenario then shows the outage.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

#[path = "../sim/mod.rs"]
mod sim;

#[path = "../support/mod.rs"]
mod support;

mod aws_2021;
mod azure_front_door_2025;
mod cloudflare_dec_2025;
mod cloudflare_nov_2025;
mod crowdstrike_2024;
mod daemon;
mod dynamodb_2025;
mod facebook_2021;
mod gce_2016;
mod google_2019;
mod google_cloud_2025;
mod guards;
mod kiro_2025;
mod knight_2012;
mod replit_2025;
mod s3_2017;
mod stage;
mod story;
mod wire;
