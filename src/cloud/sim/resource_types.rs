//! What the resource types' reference pages say, as far as the world needs it: which properties replace a resource, which
//! policy counts when none is written, which types need a capability.

use super::template::{ParsedTemplate, ResourceDeclaration};
use std::collections::BTreeSet;

/// `RequiresRecreation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Recreation {
    Never,
    Conditionally,
    Always,
}

impl Recreation {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Never => "Never",
            Self::Conditionally => "Conditionally",
            Self::Always => "Always",
        }
    }
}

/// Properties that replace the resource, beyond its own name.
const REPLACING: &[(&str, &[&str])] = &[
    ("AWS::DynamoDB::Table", &["TableName", "ImportSourceSpecification"]),
    ("AWS::EC2::Instance", &["ImageId", "SubnetId", "KeyName", "AvailabilityZone"]),
    ("AWS::EC2::LaunchTemplate", &["LaunchTemplateName"]),
    ("AWS::EC2::SecurityGroup", &["GroupName", "GroupDescription", "VpcId"]),
    ("AWS::EC2::Subnet", &["CidrBlock", "VpcId", "AvailabilityZone"]),
    ("AWS::EC2::VPC", &["CidrBlock"]),
    ("AWS::ECS::Service", &["ServiceName", "Cluster", "LaunchType", "SchedulingStrategy"]),
    ("AWS::ECS::TaskDefinition", &["ContainerDefinitions", "Family", "Cpu", "Memory", "TaskRoleArn", "NetworkMode"]),
    ("AWS::ElastiCache::ReplicationGroup", &["ReplicationGroupId", "Engine", "AtRestEncryptionEnabled"]),
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", &["Name", "Scheme", "Type"]),
    ("AWS::ElasticLoadBalancingV2::TargetGroup", &["Name", "Port", "Protocol", "VpcId", "TargetType"]),
    ("AWS::KMS::Key", &["KeySpec", "KeyUsage"]),
    ("AWS::Lambda::Function", &["FunctionName", "PackageType"]),
    ("AWS::RDS::DBCluster", &["DBClusterIdentifier", "DatabaseName", "MasterUsername", "StorageEncrypted", "KmsKeyId"]),
    ("AWS::RDS::DBInstance", &["DBInstanceIdentifier", "DBName", "MasterUsername", "StorageEncrypted", "KmsKeyId"]),
    ("AWS::SQS::Queue", &["QueueName", "FifoQueue"]),
    ("AWS::StepFunctions::StateMachine", &["StateMachineName", "StateMachineType"]),
];

/// Properties that replace the resource in some cases.
const PERHAPS_REPLACING: &[(&str, &[&str])] = &[
    ("AWS::DynamoDB::Table", &["AttributeDefinitions", "KeySchema", "LocalSecondaryIndexes"]),
    ("AWS::EC2::Instance", &["InstanceType", "BlockDeviceMappings", "UserData"]),
    ("AWS::RDS::DBInstance", &["AvailabilityZone", "Engine", "DBSnapshotIdentifier"]),
];

/// Types whose tags cannot be set, so that a stack's new tags do not touch them.
const UNTAGGED: &[&str] = &[
    "AWS::CloudFormation::WaitConditionHandle",
    "AWS::IAM::Policy",
    "AWS::IAM::InstanceProfile",
    "AWS::Lambda::Permission",
    "AWS::EC2::Route",
    "AWS::SNS::Subscription",
    "AWS::SQS::QueuePolicy",
    "AWS::S3::BucketPolicy",
];

fn lists(table: &[(&str, &[&str])], kind: &str, property: &str) -> bool {
    table.iter().any(|(listed, properties)| *listed == kind && properties.contains(&property))
}

/// What a change of `property` does to a resource of type `kind`. A type that is not listed is replaced by a change of its
/// name: `Name`, or `<Type>Name` as `BucketName`.
pub(super) fn recreation(kind: &str, property: &str) -> Recreation {
    if lists(REPLACING, kind, property) || is_its_name(kind, property) || property == "ServiceToken" {
        Recreation::Always
    } else if lists(PERHAPS_REPLACING, kind, property) {
        Recreation::Conditionally
    } else {
        Recreation::Never
    }
}

fn is_its_name(kind: &str, property: &str) -> bool {
    let last = kind.rsplit("::").next().unwrap_or(kind);
    property == "Name" || property.strip_suffix("Name").is_some_and(|stem| !stem.is_empty() && last.ends_with(stem))
}

/// The property that names the resource at the provider, if the template sets it.
pub(super) fn given_name(resource: &ResourceDeclaration) -> Option<String> {
    resource.properties.keys().find(|p| is_its_name(&resource.kind, p)).and_then(|p| resource.property(p))
}

/// True when the stack's tags are put on resources of this type.
pub(super) fn is_tagged(kind: &str) -> bool {
    kind.starts_with("AWS::") && !UNTAGGED.contains(&kind)
}

/// `PolicyAction` of a removal.
pub(super) fn removal_policy(resource: &ResourceDeclaration) -> &'static str {
    match resource.attribute("DeletionPolicy") {
        Some("Retain" | "RetainExceptOnCreate") => "Retain",
        Some("Snapshot") => "Snapshot",
        Some(_) => "Delete",
        None if snapshots_by_default(resource) => "Snapshot",
        None => "Delete",
    }
}

/// `PolicyAction` of a replacement.
pub(super) fn replacement_policy(resource: &ResourceDeclaration) -> &'static str {
    match resource.attribute("UpdateReplacePolicy") {
        Some("Retain") => "ReplaceAndRetain",
        Some("Snapshot") => "ReplaceAndSnapshot",
        _ => "ReplaceAndDelete",
    }
}

/// Source: CloudFormation user guide, `DeletionPolicy`: clusters, and instances outside of a cluster.
fn snapshots_by_default(resource: &ResourceDeclaration) -> bool {
    match resource.kind.as_str() {
        "AWS::RDS::DBCluster" => true,
        "AWS::RDS::DBInstance" => !resource.properties.contains_key("DBClusterIdentifier"),
        _ => false,
    }
}

/// The capability that the template needs and `given` lacks.
pub(super) fn missing_capability(template: &ParsedTemplate, given: &BTreeSet<String>) -> Option<&'static str> {
    let identities = || {
        template.resources.values().filter(|r| {
            matches!(
                r.kind.as_str(),
                "AWS::IAM::AccessKey"
                    | "AWS::IAM::Group"
                    | "AWS::IAM::InstanceProfile"
                    | "AWS::IAM::ManagedPolicy"
                    | "AWS::IAM::Policy"
                    | "AWS::IAM::Role"
                    | "AWS::IAM::User"
                    | "AWS::IAM::UserToGroupAddition"
            )
        })
    };
    let named = identities().any(|r| r.kind != "AWS::IAM::Policy" && given_name(r).is_some());
    if given.contains("CAPABILITY_NAMED_IAM") {
        None
    } else if named {
        Some("CAPABILITY_NAMED_IAM")
    } else if identities().next().is_some() && !given.contains("CAPABILITY_IAM") {
        Some("CAPABILITY_IAM")
    } else {
        None
    }
}
