//! AWS: one client per scope over one connection pool, its credentials and timeouts, and both traits of [`super`]; the series that
//! are Prometheus' come from there.
//!
//! Endpoints are the SDK's own affair: `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_<SERVICE>` work as everywhere.

use super::budget::BudgetOptions;
use super::call::Caller;
use super::cloudformation::CloudFormation;
use super::cloudwatch::CloudWatch;
use super::prometheus::Prometheus;
use super::source::{self, MetricSource, Queries};
use super::{Health, Priority, Stacks};
use crate::model::ids::{StackName, Token};
use crate::model::observation::{AlarmView, MetricQuery, OperationTrace, ProviderError, Series};
use crate::model::preview::{ContextWanted, DescribedChangeSet, PreviewContext, ResourceChange};
use crate::model::stack::{ChangeSetInputs, Scope, StackView, Template};
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// To reach an endpoint at all. A healthy one answers within a round trip; three seconds allow for one lost packet each
/// in the handshakes of TCP and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// From a request to the end of its answer. The slowest call we make, `GetMetricData` over 500 series, takes a few
/// seconds; CloudFormation's own gateway gives up at 30 s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// One attempt with everything before it, above all a role that is assumed anew.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(30);

/// To assume a role. Shorter than [`CREDENTIALS_TIMEOUT`], so that a slow STS ends as an error of its own, which proves that
/// the call itself was never sent.
const STS_TIMEOUT: Duration = Duration::from_secs(8);

/// To find credentials of any kind: what is left of an operation after its attempt, less a second.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(9);

/// An answer that stands still this long is given up. Our largest, a megabyte of template, comes in one piece.
const STALL_GRACE: Duration = Duration::from_secs(10);

/// Connections are closed before the provider closes them: a request that meets a closing connection has an unknown
/// outcome, and each of those costs a read and a delay.
const POOL_IDLE: Duration = Duration::from_secs(15);

/// Connections kept open for one endpoint: as many as the budget lets work at once.
const POOL_PER_HOST: usize = 32;

/// The name by which CloudTrail shows what we do with an assumed role, and the SDK's user agent.
const SESSION_NAME: &str = "wavegate";

/// Where the daemon's own credentials are asked for when nothing names a region.
const FALLBACK_REGION: &str = "us-east-1";

/// What may be set about AWS; everything else comes from the SDK's environment and profile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AwsOptions {
    /// Calls per account and region.
    pub budget: BudgetOptions,
    /// The seed of the retries' jitter. Daemons should differ in it.
    pub seed: u64,
}

/// AWS as the world, with the Prometheus servers that watch it.
#[derive(Debug)]
pub struct Aws {
    base: SdkConfig,
    caller: Caller,
    prometheus: Prometheus,
    clients: Mutex<HashMap<Scope, Arc<OnceCell<Clients>>>>,
}

#[derive(Clone, Debug)]
struct Clients {
    cloudformation: aws_sdk_cloudformation::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
}

impl Aws {
    /// Loads the SDK's configuration once. Sends nothing: credentials are fetched with the first call.
    pub async fn new(options: AwsOptions) -> Self {
        // Each scope names its region; this one only serves the daemon's own credentials. The SDK's own chain would ask
        // the instance metadata service for it and hang for seconds where there is none.
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(aws_config::Region::from_static(FALLBACK_REGION));
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).region(region).http_client(http_client());
        Self::with_config(&Box::pin(loader.load()).await, &options)
    }

    /// Takes a configuration that `aws_config` has loaded for the caller, with its endpoint, credentials and HTTP client.
    /// Timeouts and retries are set here in any case.
    pub fn with_config(base: &SdkConfig, options: &AwsOptions) -> Self {
        let mut builder = base.to_builder();
        builder.set_app_name(AppName::new(SESSION_NAME).ok());
        let base = builder
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts(ATTEMPT_TIMEOUT, OPERATION_TIMEOUT))
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL_GRACE).build())
            // One cache for all clients: a scope's two services share one assumed role.
            .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS_TIMEOUT).build())
            .build();
        let caller = Caller::new(options.budget, options.seed);
        Self { base, caller, prometheus: Prometheus::default(), clients: Mutex::default() }
    }

    /// The same with this way to Prometheus, in place of one without a token.
    #[must_use]
    pub fn with_prometheus(self, prometheus: Prometheus) -> Self {
        Self { prometheus, ..self }
    }

    /// How many requests were sent, by operation.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.caller.counts()
    }

    async fn clients(&self, scope: &Scope) -> Clients {
        let cell = {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            match clients.get(scope) {
                Some(cell) => Arc::clone(cell),
                None => Arc::clone(clients.entry(scope.clone()).or_default()),
            }
        };
        cell.get_or_init(|| Box::pin(self.connect(scope))).await.clone()
    }

    async fn connect(&self, scope: &Scope) -> Clients {
        let region = aws_config::Region::new(scope.region.as_str().to_owned());
        let mut config = self.base.to_builder().region(region.clone());
        if let Some(role) = &scope.role {
            let sts = self.base.to_builder().timeout_config(timeouts(STS_TIMEOUT, STS_TIMEOUT)).build();
            // The role is assumed in its own region, so that one region's STS does not take the others with it.
            let provider = AssumeRoleProvider::builder(role.to_string())
                .session_name(SESSION_NAME)
                .region(region)
                .configure(&sts)
                .build()
                .await;
            config = config.credentials_provider(SharedCredentialsProvider::new(provider));
        }
        let config = config.build();
        Clients {
            cloudformation: aws_sdk_cloudformation::Client::new(&config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&config),
        }
    }

    async fn cloudformation<'a>(&'a self, scope: &'a Scope, priority: Priority) -> CloudFormation<'a> {
        CloudFormation { client: self.clients(scope).await.cloudformation, caller: &self.caller, scope, priority }
    }

    async fn cloudwatch<'a>(&'a self, scope: &'a Scope) -> CloudWatch<'a> {
        CloudWatch { client: self.clients(scope).await.cloudwatch, caller: &self.caller, scope }
    }
}

fn timeouts(attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

/// One pool for all scopes. Left to themselves, all clients would each load the trusted roots and keep their own sockets.
pub(super) fn http_client() -> aws_sdk_cloudformation::config::SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_PER_HOST)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build_https()
}

/// An SDK's time as ours; `None` when it lies outside of the calendar.
pub(super) fn timestamp(time: &aws_sdk_cloudformation::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

type Answer<T> = Result<T, ProviderError>;

impl Stacks for Aws {
    async fn describe(
        &self,
        scope: &Scope,
        names: &[StackName],
        priority: Priority,
    ) -> Answer<BTreeMap<StackName, StackView>> {
        self.cloudformation(scope, priority).await.describe(names).await
    }

    async fn describe_by_id(&self, scope: &Scope, stack_id: &str, priority: Priority) -> Answer<Option<StackView>> {
        self.cloudformation(scope, priority).await.describe_one(stack_id).await
    }

    async fn template(&self, scope: &Scope, stack: &StackName, priority: Priority) -> Answer<Template> {
        self.cloudformation(scope, priority).await.template(Some(stack.as_str()), None).await
    }

    async fn change_set_template(
        &self,
        scope: &Scope,
        stack: &StackName,
        change_set: &str,
        priority: Priority,
    ) -> Answer<Template> {
        self.cloudformation(scope, priority).await.template(Some(stack.as_str()), Some(change_set)).await
    }

    async fn policy(&self, scope: &Scope, stack: &StackName, priority: Priority) -> Answer<Option<String>> {
        self.cloudformation(scope, priority).await.policy(stack).await
    }

    async fn resources(&self, scope: &Scope, stack: &StackName, priority: Priority) -> Answer<Vec<ResourceChange>> {
        self.cloudformation(scope, priority).await.resources(stack.as_str()).await
    }

    async fn preview_context(
        &self,
        scope: &Scope,
        stack_id: &str,
        change_set: Option<&str>,
        wanted: ContextWanted,
        priority: Priority,
    ) -> Answer<PreviewContext> {
        self.cloudformation(scope, priority).await.preview_context(stack_id, change_set, wanted).await
    }

    async fn create_change_set(
        &self,
        scope: &Scope,
        stack: &StackName,
        name: &str,
        inputs: &ChangeSetInputs,
        priority: Priority,
    ) -> Answer<String> {
        self.cloudformation(scope, priority).await.create_change_set(stack, name, inputs).await
    }

    async fn describe_change_set(
        &self,
        scope: &Scope,
        stack: &StackName,
        change_set: &str,
        priority: Priority,
    ) -> Answer<DescribedChangeSet> {
        self.cloudformation(scope, priority).await.describe_change_set(stack, change_set).await
    }

    async fn delete_change_set(&self, scope: &Scope, stack: &StackName, change_set: &str) -> Answer<()> {
        // To delete a change set is to fence: nothing forward does it.
        self.cloudformation(scope, Priority::Reserved).await.delete_change_set(stack, change_set).await
    }

    async fn execute_change_set(
        &self,
        scope: &Scope,
        _stack: &StackName,
        arn: &str,
        token: &Token,
        priority: Priority,
    ) -> Answer<()> {
        self.cloudformation(scope, priority).await.execute_change_set(arn, token).await
    }

    async fn delete_stack(&self, scope: &Scope, stack_id: &str, token: &Token, priority: Priority) -> Answer<()> {
        self.cloudformation(scope, priority).await.delete_stack(stack_id, token).await
    }

    async fn cancel_update(&self, scope: &Scope, stack: &StackName, token: &Token) -> Answer<()> {
        self.cloudformation(scope, Priority::Reserved).await.cancel_update(stack, token).await
    }

    async fn continue_rollback(&self, scope: &Scope, stack: &StackName, token: &Token) -> Answer<()> {
        self.cloudformation(scope, Priority::Reserved).await.continue_rollback(stack, token).await
    }

    async fn find_operation(
        &self,
        scope: &Scope,
        stack: &str,
        token: &Token,
        not_before: Timestamp,
        priority: Priority,
    ) -> Answer<OperationTrace> {
        self.cloudformation(scope, priority).await.find_operation(stack, token, not_before).await
    }
}

impl Health for Aws {
    async fn metrics(
        &self,
        scope: &Scope,
        queries: &[(MetricQuery, bool)],
        from: Timestamp,
        to: Timestamp,
    ) -> Answer<Vec<Series>> {
        source::read(self, &self.prometheus, scope, queries, (from, to)).await
    }

    async fn alarms(&self, scope: &Scope, names: &[String]) -> Answer<BTreeMap<String, Option<AlarmView>>> {
        self.cloudwatch(scope).await.alarms(names).await
    }
}

/// CloudWatch's series.
impl MetricSource for Aws {
    async fn read(&self, scope: &Scope, queries: Queries<'_>, from: Timestamp, to: Timestamp) -> Answer<Vec<Series>> {
        self.cloudwatch(scope).await.metrics(queries, from, to).await
    }
}
