//! Slack's incoming webhooks, and what understands the same. The address is the secret: it stands in a file, and nowhere else.
//!
//! Slack takes no id, so that a message whose answer was lost is shown twice; its id stands at its end.

use super::http::{Http, send};
use super::{Deliver, Parcel, Undelivered, read_secret};
use reqwest::header::CONTENT_TYPE;
use std::path::PathBuf;

/// A room in Slack.
#[derive(Debug)]
pub struct Slack {
    url_file: PathBuf,
    http: Http,
}

impl Slack {
    /// To the address in this file.
    pub fn new(url_file: PathBuf) -> Self {
        Self { url_file, http: Http::default() }
    }
}

impl Deliver for Slack {
    async fn deliver(&self, parcel: &Parcel<'_>) -> Result<(), Undelivered> {
        let address = read_secret(&self.url_file)?;
        let request = self.http.post(&address).map_err(|error| match error {
            Undelivered::Again { why, after } => {
                Undelivered::Again { why: format!("the file `{}`: {why}", self.url_file.display()), after }
            }
            other => other,
        })?;
        send(request.header(CONTENT_TYPE, "application/json").body(parcel.body.to_owned())).await
    }
}
