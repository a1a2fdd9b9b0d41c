//! What resource types are: which hold data, which grant permissions, which run code of their own. Data, as of [`AS_OF`].
//!
//! Source: the CloudFormation template reference, one page for each resource type, and the IAM service authorization reference
//! for what a property grants. A type that is in neither list of [`facts`] is taken for one that holds data: to be asked once too
//! often is cheap.

/// When the lists were last compared with the reference.
pub const AS_OF: &str = "2026-11-21";

/// What can be told of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeFacts {
    /// What people call it, as `database`; for a type that is not listed, `resource`.
    pub noun: &'static str,
    /// It holds what is lost with it: data, messages, keys, an address that nobody gets again.
    pub stateful: bool,
    /// What of it grants a permission.
    pub grants: Grants,
    /// It runs code of its own: what it does cannot be told.
    pub runs_code: bool,
}

/// What of a resource gives somebody a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grants {
    /// Nothing but what [`is_role_property`] says.
    Nothing,
    /// These properties.
    Properties(&'static [&'static str]),
    /// All of it.
    Everything,
}

/// What is known of a type. Custom resources (`Custom::…`) and types that are not listed are known by that alone.
pub fn facts(resource_type: &str) -> TypeFacts {
    let noun = STATEFUL.iter().find(|(name, _)| *name == resource_type).map(|(_, noun)| *noun);
    let stateless = STATELESS.contains(&resource_type);
    let grants = GRANTS.iter().find(|(name, _)| *name == resource_type).map_or(Grants::Nothing, |(_, grants)| *grants);
    let runs_code = resource_type.starts_with("Custom::") || resource_type == "AWS::CloudFormation::CustomResource";
    TypeFacts { noun: noun.unwrap_or("resource"), stateful: noun.is_some() || !stateless, grants, runs_code }
}

/// Properties that interrupt the resource when they change, though it is not replaced ("Update requires: Some interruptions").
pub fn interrupts(resource_type: &str, property: &str) -> bool {
    INTERRUPTS.iter().any(|(name, properties)| *name == resource_type && properties.contains(&property))
}

/// A property that says as whom a resource acts: another role is other permissions, whatever the type.
pub fn is_role_property(property: &str) -> bool {
    let first = property.split(['.', '/']).next().unwrap_or(property);
    ["Role", "RoleArn", "RoleARN", "IamInstanceProfile", "InstanceProfile", "InstanceProfileName"].contains(&first)
        || first.ends_with("RoleArn")
        || first.ends_with("RoleARN")
        || first.ends_with("ServiceRole")
}

/// Types that hold what is lost with them, and what people call them.
const STATEFUL: &[(&str, &str)] = &[
    ("AWS::Backup::BackupVault", "backup vault"),
    ("AWS::Cassandra::Keyspace", "keyspace"),
    ("AWS::Cassandra::Table", "table"),
    ("AWS::CloudTrail::EventDataStore", "event data store"),
    ("AWS::CodeArtifact::Repository", "package repository"),
    ("AWS::CodeCommit::Repository", "repository"),
    ("AWS::Cognito::IdentityPool", "identity pool"),
    ("AWS::Cognito::UserPool", "user pool"),
    ("AWS::DAX::Cluster", "cache"),
    ("AWS::DocDB::DBCluster", "database"),
    ("AWS::DocDB::DBInstance", "database"),
    ("AWS::DynamoDB::GlobalTable", "table"),
    ("AWS::DynamoDB::Table", "table"),
    ("AWS::EC2::EIP", "address"),
    ("AWS::EC2::Instance", "instance"),
    ("AWS::EC2::Volume", "volume"),
    ("AWS::ECR::Repository", "image repository"),
    ("AWS::EFS::FileSystem", "file system"),
    ("AWS::EKS::Cluster", "cluster"),
    ("AWS::ElastiCache::CacheCluster", "cache"),
    ("AWS::ElastiCache::ReplicationGroup", "cache"),
    ("AWS::ElastiCache::ServerlessCache", "cache"),
    ("AWS::Elasticsearch::Domain", "search domain"),
    ("AWS::Events::Archive", "event archive"),
    ("AWS::FSx::FileSystem", "file system"),
    ("AWS::FSx::Volume", "volume"),
    ("AWS::Glue::Database", "data catalog"),
    ("AWS::Glue::Table", "data catalog table"),
    ("AWS::KMS::Key", "key"),
    ("AWS::KMS::ReplicaKey", "key"),
    ("AWS::Kinesis::Stream", "stream"),
    ("AWS::Logs::LogGroup", "log group"),
    ("AWS::MSK::Cluster", "Kafka cluster"),
    ("AWS::MSK::ServerlessCluster", "Kafka cluster"),
    ("AWS::MemoryDB::Cluster", "database"),
    ("AWS::Neptune::DBCluster", "database"),
    ("AWS::Neptune::DBInstance", "database"),
    ("AWS::OpenSearchServerless::Collection", "search collection"),
    ("AWS::OpenSearchService::Domain", "search domain"),
    ("AWS::QLDB::Ledger", "ledger"),
    ("AWS::RDS::DBCluster", "database"),
    ("AWS::RDS::DBInstance", "database"),
    ("AWS::RDS::GlobalCluster", "database"),
    ("AWS::Redshift::Cluster", "data warehouse"),
    ("AWS::RedshiftServerless::Namespace", "data warehouse"),
    ("AWS::Route53::HostedZone", "hosted zone"),
    ("AWS::S3::Bucket", "bucket"),
    ("AWS::S3Express::DirectoryBucket", "bucket"),
    ("AWS::S3Tables::TableBucket", "bucket"),
    ("AWS::SDB::Domain", "database"),
    ("AWS::SQS::Queue", "queue"),
    ("AWS::SecretsManager::Secret", "secret"),
    ("AWS::Timestream::Database", "database"),
    ("AWS::Timestream::InfluxDBInstance", "database"),
    ("AWS::Timestream::Table", "table"),
];

/// Types that can be made again without a loss.
const STATELESS: &[&str] = &[
    "AWS::ApiGateway::Account",
    "AWS::ApiGateway::Authorizer",
    "AWS::ApiGateway::BasePathMapping",
    "AWS::ApiGateway::Deployment",
    "AWS::ApiGateway::Method",
    "AWS::ApiGateway::Model",
    "AWS::ApiGateway::RequestValidator",
    "AWS::ApiGateway::Resource",
    "AWS::ApiGateway::Stage",
    "AWS::ApiGateway::UsagePlan",
    "AWS::ApiGatewayV2::Authorizer",
    "AWS::ApiGatewayV2::Deployment",
    "AWS::ApiGatewayV2::Integration",
    "AWS::ApiGatewayV2::Route",
    "AWS::ApiGatewayV2::Stage",
    "AWS::AppConfig::Deployment",
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::AutoScaling::AutoScalingGroup",
    "AWS::AutoScaling::LaunchConfiguration",
    "AWS::AutoScaling::LifecycleHook",
    "AWS::AutoScaling::ScalingPolicy",
    "AWS::AutoScaling::ScheduledAction",
    "AWS::CloudFormation::WaitCondition",
    "AWS::CloudFormation::WaitConditionHandle",
    "AWS::CloudFront::CachePolicy",
    "AWS::CloudFront::Function",
    "AWS::CloudFront::OriginRequestPolicy",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::AnomalyDetector",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::CloudWatch::Dashboard",
    "AWS::CodeBuild::Project",
    "AWS::CodeDeploy::Application",
    "AWS::CodeDeploy::DeploymentConfig",
    "AWS::CodeDeploy::DeploymentGroup",
    "AWS::CodePipeline::Pipeline",
    "AWS::EC2::DHCPOptions",
    "AWS::EC2::InternetGateway",
    "AWS::EC2::LaunchTemplate",
    "AWS::EC2::NetworkAcl",
    "AWS::EC2::NetworkAclEntry",
    "AWS::EC2::Route",
    "AWS::EC2::RouteTable",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::Subnet",
    "AWS::EC2::SubnetNetworkAclAssociation",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPC",
    "AWS::EC2::VPCEndpoint",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::ECS::CapacityProvider",
    "AWS::ECS::Cluster",
    "AWS::ECS::ClusterCapacityProviderAssociations",
    "AWS::ECS::Service",
    "AWS::ECS::TaskDefinition",
    "AWS::EFS::AccessPoint",
    "AWS::EFS::MountTarget",
    "AWS::ElasticLoadBalancingV2::Listener",
    "AWS::ElasticLoadBalancingV2::ListenerRule",
    "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "AWS::ElasticLoadBalancingV2::TargetGroup",
    "AWS::Events::Rule",
    "AWS::IAM::Group",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::IAM::RolePolicy",
    "AWS::IAM::UserToGroupAddition",
    "AWS::KMS::Alias",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Function",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::LayerVersionPermission",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Url",
    "AWS::Lambda::Version",
    "AWS::Logs::MetricFilter",
    "AWS::Logs::SubscriptionFilter",
    "AWS::RDS::DBClusterParameterGroup",
    "AWS::RDS::DBParameterGroup",
    "AWS::RDS::DBSubnetGroup",
    "AWS::RDS::EventSubscription",
    "AWS::Route53::HealthCheck",
    "AWS::Route53::RecordSet",
    "AWS::Route53::RecordSetGroup",
    "AWS::S3::AccessPoint",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::SSM::Parameter",
    "AWS::Scheduler::Schedule",
    "AWS::SecretsManager::ResourcePolicy",
    "AWS::SecretsManager::RotationSchedule",
    "AWS::SecretsManager::SecretTargetAttachment",
    "AWS::ServiceDiscovery::Service",
    "AWS::StepFunctions::StateMachine",
    "AWS::WAFv2::WebACL",
    "AWS::WAFv2::WebACLAssociation",
];

/// What grants a permission, or opens a way in from outside.
const GRANTS: &[(&str, Grants)] = &[
    ("AWS::Backup::BackupVault", Grants::Properties(&["AccessPolicy"])),
    ("AWS::Cognito::IdentityPool", Grants::Properties(&["AllowUnauthenticatedIdentities"])),
    ("AWS::Cognito::IdentityPoolRoleAttachment", Grants::Everything),
    ("AWS::EC2::SecurityGroup", Grants::Properties(&["SecurityGroupIngress"])),
    ("AWS::EC2::SecurityGroupIngress", Grants::Everything),
    ("AWS::EC2::VPCEndpoint", Grants::Properties(&["PolicyDocument"])),
    ("AWS::ECR::RegistryPolicy", Grants::Everything),
    ("AWS::ECR::Repository", Grants::Properties(&["RepositoryPolicyText"])),
    ("AWS::EFS::FileSystem", Grants::Properties(&["FileSystemPolicy"])),
    ("AWS::EKS::AccessEntry", Grants::Everything),
    ("AWS::Events::EventBusPolicy", Grants::Everything),
    ("AWS::IAM::AccessKey", Grants::Everything),
    ("AWS::IAM::Group", Grants::Everything),
    ("AWS::IAM::GroupPolicy", Grants::Everything),
    ("AWS::IAM::InstanceProfile", Grants::Everything),
    ("AWS::IAM::ManagedPolicy", Grants::Everything),
    ("AWS::IAM::OIDCProvider", Grants::Everything),
    ("AWS::IAM::Policy", Grants::Everything),
    ("AWS::IAM::Role", Grants::Everything),
    ("AWS::IAM::RolePolicy", Grants::Everything),
    ("AWS::IAM::SAMLProvider", Grants::Everything),
    ("AWS::IAM::User", Grants::Everything),
    ("AWS::IAM::UserPolicy", Grants::Everything),
    ("AWS::IAM::UserToGroupAddition", Grants::Everything),
    ("AWS::KMS::Grant", Grants::Everything),
    ("AWS::KMS::Key", Grants::Properties(&["KeyPolicy"])),
    ("AWS::KMS::ReplicaKey", Grants::Properties(&["KeyPolicy"])),
    ("AWS::LakeFormation::Permissions", Grants::Everything),
    ("AWS::LakeFormation::PrincipalPermissions", Grants::Everything),
    ("AWS::Lambda::LayerVersionPermission", Grants::Everything),
    ("AWS::Lambda::Permission", Grants::Everything),
    ("AWS::Lambda::Url", Grants::Everything),
    ("AWS::Logs::ResourcePolicy", Grants::Everything),
    ("AWS::OpenSearchService::Domain", Grants::Properties(&["AccessPolicies"])),
    ("AWS::Organizations::Policy", Grants::Everything),
    ("AWS::RAM::ResourceShare", Grants::Everything),
    ("AWS::RolesAnywhere::Profile", Grants::Everything),
    ("AWS::RolesAnywhere::TrustAnchor", Grants::Everything),
    ("AWS::S3::AccessPoint", Grants::Properties(&["Policy"])),
    ("AWS::S3::Bucket", Grants::Properties(&["AccessControl", "PublicAccessBlockConfiguration"])),
    ("AWS::S3::BucketPolicy", Grants::Everything),
    ("AWS::SNS::TopicPolicy", Grants::Everything),
    ("AWS::SQS::QueuePolicy", Grants::Everything),
    ("AWS::SSO::Assignment", Grants::Everything),
    ("AWS::SSO::PermissionSet", Grants::Everything),
    ("AWS::SecretsManager::ResourcePolicy", Grants::Everything),
];

/// "Update requires: Some interruptions", for the types that most services rest on.
const INTERRUPTS: &[(&str, &[&str])] = &[
    ("AWS::AmazonMQ::Broker", &["HostInstanceType", "EngineVersion"]),
    ("AWS::DocDB::DBCluster", &["EngineVersion", "Port"]),
    ("AWS::DocDB::DBInstance", &["DBInstanceClass"]),
    ("AWS::EC2::Instance", &["InstanceType", "UserData", "EbsOptimized", "KernelId"]),
    ("AWS::ElastiCache::CacheCluster", &["CacheNodeType", "EngineVersion", "NumCacheNodes"]),
    ("AWS::ElastiCache::ReplicationGroup", &["CacheNodeType", "EngineVersion"]),
    ("AWS::ElasticLoadBalancingV2::Listener", &["Port", "Protocol"]),
    ("AWS::Neptune::DBInstance", &["DBInstanceClass"]),
    ("AWS::RDS::DBCluster", &["EngineVersion", "Port", "DBClusterInstanceClass"]),
    (
        "AWS::RDS::DBInstance",
        &["DBInstanceClass", "EngineVersion", "AllocatedStorage", "StorageType", "MultiAZ", "DBParameterGroupName"],
    ),
    ("AWS::Redshift::Cluster", &["NodeType", "NumberOfNodes", "ClusterType", "ClusterVersion"]),
];

#[cfg(test)]
mod tests {
    use super::{GRANTS, INTERRUPTS, STATEFUL, STATELESS};
    use std::collections::BTreeSet;

    #[test]
    fn every_list_is_sorted_and_without_repetition_and_no_type_is_in_two() {
        let stateful: Vec<_> = STATEFUL.iter().map(|(name, _)| *name).collect();
        let grants: Vec<_> = GRANTS.iter().map(|(name, _)| *name).collect();
        let interrupts: Vec<_> = INTERRUPTS.iter().map(|(name, _)| *name).collect();
        for list in [&stateful[..], STATELESS, &grants, &interrupts] {
            assert!(list.is_sorted_by(|a, b| a < b), "{list:?}");
        }
        let both: BTreeSet<_> = stateful.iter().filter(|name| STATELESS.contains(name)).collect();
        assert!(both.is_empty(), "{both:?}");
    }
}
