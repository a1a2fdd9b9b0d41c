//! What resources cost a month: a dated list that SREs keep, and the few properties that a price may depend on.

pub mod read;

use super::ids::Digest;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The properties that may leave the provider's answer for a price: sizes and kinds, never a secret (S20). By resource type,
/// sorted. A price book that names another one is refused.
pub const PRICED_PROPERTIES: &[(&str, &[&str])] = &[
    ("AWS::AutoScaling::AutoScalingGroup", &["DesiredCapacity", "MaxSize", "MinSize"]),
    ("AWS::DynamoDB::Table", &["BillingMode"]),
    ("AWS::EC2::EIP", &[]),
    ("AWS::EC2::Instance", &["InstanceType"]),
    ("AWS::EC2::NatGateway", &[]),
    ("AWS::EC2::Volume", &["Iops", "Size", "VolumeType"]),
    ("AWS::ECS::Service", &["DesiredCount"]),
    ("AWS::ElastiCache::CacheCluster", &["CacheNodeType", "NumCacheNodes"]),
    ("AWS::ElastiCache::ReplicationGroup", &["CacheNodeType", "NumNodeGroups", "ReplicasPerNodeGroup"]),
    ("AWS::ElasticLoadBalancingV2::LoadBalancer", &["Type"]),
    ("AWS::Kinesis::Stream", &["ShardCount"]),
    ("AWS::KMS::Key", &[]),
    ("AWS::Lambda::Function", &["MemorySize"]),
    ("AWS::MSK::Cluster", &["NumberOfBrokerNodes"]),
    ("AWS::OpenSearchService::Domain", &["EngineVersion"]),
    ("AWS::RDS::DBCluster", &["Engine", "StorageType"]),
    ("AWS::RDS::DBInstance", &["AllocatedStorage", "DBInstanceClass", "Engine", "Iops", "MultiAZ", "StorageType"]),
    ("AWS::Redshift::Cluster", &["NodeType", "NumberOfNodes"]),
    ("AWS::SecretsManager::Secret", &[]),
];

/// What things cost a month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriceBook {
    /// Its path, as the pipeline names it.
    pub file: String,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// As of when.
    pub dated: Date,
    /// Prices older than this many days count as unknown.
    pub max_age_days: u32,
    /// As `USD`.
    pub currency: String,
    /// By resource type, in the file's order: the first one that fits counts.
    pub prices: BTreeMap<String, Vec<Price>>,
}

/// One price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// It fits where these properties have these values.
    pub when: BTreeMap<String, String>,
    /// A month, whatever the size.
    pub monthly: f64,
    /// A month for each unit of a property, as `AllocatedStorage`: 0.115 for each gigabyte.
    pub monthly_per: BTreeMap<String, f64>,
    /// Both of it times the value of this property, as `DesiredCapacity`.
    pub times: Option<String>,
    /// The file's line.
    pub line: u32,
}
