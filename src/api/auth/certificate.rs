//! Client certificates: which principal the configuration maps one to. The door has verified it by then: that it holds, is of the
//! right authority, and whose the connection is.

use super::token::hex;
use super::{Unauthenticated, refused};
use crate::config::identity::{CertificateEntry, Identity};
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// A certificate's name is kept up to this length in records.
const NAME_MAX: usize = 300;

/// The certificates that are known.
#[derive(Debug)]
pub struct Certificates {
    entries: Vec<CertificateEntry>,
}

impl Certificates {
    /// Those of the configuration.
    pub fn of(entries: &[CertificateEntry]) -> Self {
        Self { entries: entries.to_vec() }
    }

    /// Who has this certificate, and what to call it in records.
    ///
    /// # Errors
    /// [`Unauthenticated::Refused`].
    pub fn find(&self, der: &[u8]) -> Result<(Identity, String), Unauthenticated> {
        let der = CertificateDer::from(der);
        let certificate =
            EndEntityCert::try_from(&der).map_err(|_| refused("the client certificate cannot be read"))?;
        let digest = hex(&Sha256::digest(&der));
        let uris: Vec<&str> = certificate.valid_uri_names().collect();
        let hosts: Vec<&str> = certificate.valid_dns_names().collect();
        let named = |entry: &CertificateEntry| {
            let uri = uris.iter().find(|uri| entry.is_uri(uri)).map(ToString::to_string);
            let host = || hosts.iter().find(|host| entry.is_dns(host)).map(|host| host.to_ascii_lowercase());
            uri.or_else(host).or_else(|| entry.is_sha256(&digest).then(|| format!("sha256:{digest}")))
        };
        let mut matching = self.entries.iter().filter_map(|entry| Some((entry.identity(), named(entry)?)));
        let Some((identity, name)) = matching.next() else {
            return Err(refused("no identity is mapped to this client certificate (`identity.certificates`)"));
        };
        if matching.any(|(other, _)| other != identity) {
            return Err(refused("this client certificate is mapped to two principals (`identity.certificates`)"));
        }
        let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
        Ok((identity, format!("certificate {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::identity::IdentityConfig;
    use crate::model::principal::{PrincipalKind, Role};
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(uris: &[&str], hosts: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn known(text: &str) -> Certificates {
        let config: IdentityConfig = serde_yaml::from_str(&format!("certificates: [{text}]")).unwrap();
        config.check().unwrap();
        Certificates::of(&config.certificates)
    }

    const KIRO: &str = "{uri: 'spiffe://x/kiro', name: kiro, kind: agent, party: aws, roles: [proposer], groups: [g]}";
    const CI: &str = "{dns: ci.example.org, name: ci, kind: service, roles: [proposer]}";

    #[test]
    fn a_certificate_is_known_by_its_uri_its_host_or_its_digest() {
        let both = known(&format!("{KIRO}, {CI}"));
        let ((who, roles), name) = both.find(&certificate(&["spiffe://x/kiro"], &["other.example.org"])).unwrap();
        assert_eq!((who.name.as_str(), who.kind, who.party.as_str()), ("kiro", PrincipalKind::Agent, "aws"));
        assert_eq!((roles, name.as_str()), ([Role::Proposer].into(), "certificate spiffe://x/kiro"));
        let ((who, _), name) = both.find(&certificate(&[], &["CI.example.org"])).unwrap();
        assert_eq!((who.name.as_str(), name.as_str()), ("ci", "certificate ci.example.org"));
        let der = certificate(&[], &[]);
        let digest = hex(&Sha256::digest(&der));
        let colons: Vec<String> =
            digest.as_bytes().chunks(2).map(|c| String::from_utf8_lossy(c).to_uppercase()).collect();
        let by_digest = known(&format!("{{sha256: '{}', name: a, kind: human, roles: [author]}}", colons.join(":")));
        assert_eq!(by_digest.find(&der).unwrap().1, format!("certificate sha256:{digest}"));
        assert!(by_digest.find(&certificate(&[], &[])).is_err());
    }

    #[test]
    fn who_is_not_named_exactly_is_nobody() {
        let both = known(&format!("{KIRO}, {CI}"));
        for (uris, hosts) in [
            (&["spiffe://x/kiro/other"][..], &[][..]),
            (&["SPIFFE://x/kiro"], &[]),
            (&["ci.example.org"], &[]),
            (&[], &["*.example.org"]),
            (&[], &["a.ci.example.org"]),
            (&[], &[]),
        ] {
            let why = both.find(&certificate(uris, hosts)).unwrap_err().to_string();
            assert!(why.starts_with("no identity is mapped"), "{uris:?} {hosts:?}: {why}");
        }
        assert!(both.find(b"no certificate").unwrap_err().to_string().contains("cannot be read"));
        assert!(known("").find(&certificate(&["spiffe://x/kiro"], &[])).is_err());
    }

    #[test]
    fn one_certificate_that_is_two_principals_is_nobody() {
        let two = certificate(&["spiffe://x/kiro"], &["ci.example.org"]);
        assert!(known(&format!("{KIRO}, {CI}")).find(&two).unwrap_err().to_string().contains("two principals"));
        let same = KIRO.replace("uri: 'spiffe://x/kiro'", "dns: ci.example.org");
        assert!(known(&format!("{KIRO}, {same}")).find(&two).is_ok());
        let more = same.replace("[proposer]", "[proposer, author]");
        assert!(known(&format!("{KIRO}, {more}")).find(&two).is_err());
    }
}
