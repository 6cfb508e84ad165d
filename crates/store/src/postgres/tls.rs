//! How a server is spoken to: in clear, or over TLS, in the words that PostgreSQL's own programs have for it.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::backoff::Backoff;
use super::fault::{Fault, plain};
use crate::Error;

/// How long the server may take to let us in.
const CONNECT: Duration = Duration::from_secs(5);
/// How long it may take to be heard of at all. One host of several that is not there is passed over after this.
const REACH: Duration = Duration::from_secs(2);
/// Whoever has acknowledged nothing for this long is gone. A network that loses everything tells nobody: this is how it is
/// noticed, and how soon a connection is found again after it is back.
pub(super) const UNHEARD: Duration = Duration::from_secs(3);

type Tls = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// Where a server is, as whom it is asked, and how it is spoken to.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    tls: MakeRustlsConnect,
    backoff: Arc<Backoff>,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It shows no password.
        self.config.fmt(f)
    }
}

/// What is asked of a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Nothing,
    /// An authority that we trust issued it.
    Authority,
    /// The same, and it is this host's.
    Host,
}

impl Address {
    /// The connection settings in a store's URL: `postgres://USER@HOST/DATABASE`, with `sslmode` and `sslrootcert` among
    /// its parameters.
    ///
    /// # Errors
    /// [`Error::Unusable`], without the URL, which may hold a password.
    pub(super) fn of(url: &str) -> Result<Self, Error> {
        let (mut mode, mut roots) = (None, None);
        let mut rest = url.to_owned();
        if let Some((address, parameters)) = url.split_once('?') {
            let others: Vec<&str> = parameters
                .split('&')
                .filter(|parameter| {
                    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                    match name {
                        "sslmode" => mode = Some(value),
                        "sslrootcert" => roots = Some(value),
                        _ => return true,
                    }
                    false
                })
                .collect();
            rest = format!("{address}?{}", others.join("&"));
        }
        let mut config: Config = rest.parse().map_err(|error: tokio_postgres::Error| {
            Error::Unusable(format!(
                "the store's URL is not one of PostgreSQL's ({}): expected postgres://USER:PASSWORD@HOST/DATABASE",
                plain(&error)
            ))
        })?;
        let (mode, mut wanted) = match mode.unwrap_or(if roots.is_some() { "verify-full" } else { "prefer" })
        {
            "disable" => (SslMode::Disable, Wanted::Nothing),
            "prefer" => (SslMode::Prefer, Wanted::Nothing),
            "require" => (SslMode::Require, Wanted::Nothing),
            "verify-ca" => (SslMode::Require, Wanted::Authority),
            "verify-full" => (SslMode::Require, Wanted::Host),
            other => {
                return Err(Error::Unusable(format!(
                    "sslmode={other} in the store's URL is not known: expected disable, prefer, require, verify-ca or verify-full"
                )));
            }
        };
        // As with PostgreSQL's own programs: who names an authority wants it to have issued the certificate.
        if roots.is_some() && mode == SslMode::Require && wanted == Wanted::Nothing {
            wanted = Wanted::Authority;
        }
        config
            .ssl_mode(mode)
            .connect_timeout(REACH)
            .tcp_user_timeout(UNHEARD)
            .keepalives_idle(Duration::from_secs(2))
            .keepalives_interval(Duration::from_secs(1))
            .keepalives_retries(3);
        if config.get_application_name().is_none() {
            config.application_name("piton");
        }
        // Of a server and its standbys it is the one that takes writes.
        if config.get_hosts().len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let tls = MakeRustlsConnect::new(client(wanted, roots)?);
        Ok(Self { config, tls, backoff: Arc::default() })
    }

    /// Connects, unless that failed a moment ago.
    pub(super) async fn connect(&self) -> Result<(Client, Connection<Socket, Tls>), Fault> {
        self.backoff.check()?;
        let connected = tokio::time::timeout(CONNECT, self.config.connect(self.tls.clone())).await;
        let connected = match connected {
            Ok(connected) => connected.map_err(Fault::from),
            Err(_) => Err(Fault::NotNow("PostgreSQL does not answer".to_owned())),
        };
        match connected {
            Ok(_) => self.backoff.succeeded(),
            Err(fault) => return Err(self.backoff.failed(fault)),
        }
        connected
    }
}

fn client(wanted: Wanted, roots: Option<&str>) -> Result<ClientConfig, Error> {
    let unusable = |error: &dyn std::fmt::Display| Error::Unusable(format!("TLS cannot be used: {error}"));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let chain = match wanted {
        Wanted::Nothing => None,
        Wanted::Authority | Wanted::Host => {
            let trusted = Arc::new(trusted(roots)?);
            let chain = WebPkiServerVerifier::builder_with_provider(trusted, Arc::clone(&provider)).build();
            Some(chain.map_err(|error| unusable(&error))?)
        }
    };
    let verifier = Arc::new(Verifier { wanted, chain, provider });
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The certificates in the file, or the system's.
fn trusted(roots: Option<&str>) -> Result<RootCertStore, Error> {
    let mut trusted = RootCertStore::empty();
    let Some(path) = roots.filter(|roots| *roots != "system") else {
        trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(trusted);
    };
    let path = path.replace("%2F", "/").replace("%2f", "/");
    let unusable = |error: &dyn std::fmt::Display| {
        Error::Unusable(format!(
            "sslrootcert={path} in the store's URL cannot be used ({error}): expected a file of certificates in PEM"
        ))
    };
    for certificate in CertificateDer::pem_file_iter(&path).map_err(|error| unusable(&error))? {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        trusted.add(certificate).map_err(|error| unusable(&error))?;
    }
    if trusted.is_empty() {
        return Err(unusable(&"it holds none"));
    }
    Ok(trusted)
}

/// Asks as much of a certificate as is wanted; that the server has its key, always.
#[derive(Debug)]
struct Verifier {
    wanted: Wanted,
    /// There where anything is wanted.
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(certificate, between, host, ocsp, now) {
            // The name is looked at last.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.wanted == Wanted::Authority => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
