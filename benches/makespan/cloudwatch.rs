//! CloudWatch as the SDK speaks to it: Smithy's RPC v2 over CBOR. Two operations: metrics, and alarms that are all OK.

use aws_smithy_cbor::data::Type;
use aws_smithy_cbor::decode::DeserializeError;
use aws_smithy_cbor::{Decoder, Encoder};
use aws_smithy_types::DateTime;

/// The value of a metric that is well, and of one that is not.
const GOOD: f64 = 0.0;
const BAD: f64 = 100.0;
/// What a `SampleCount` query sees.
const SAMPLES: f64 = 1000.0;
/// The most points that one series gets: nobody reads more.
const POINTS_LIMIT: i64 = 500;

#[derive(Default)]
struct Query {
    id: String,
    statistic: String,
    period: i64,
    hidden: bool,
}

/// Answers `operation`; the error is what was not understood.
pub fn answer(operation: &str, body: &[u8], bad: bool, now: i64) -> Result<Vec<u8>, String> {
    match operation {
        "GetMetricData" => metrics(body, bad, now).map_err(|error| format!("{operation}: {error}")),
        "DescribeAlarms" => alarms(body).map_err(|error| format!("{operation}: {error}")),
        other => Err(format!("unknown operation {other}")),
    }
}

fn metrics(body: &[u8], bad: bool, now: i64) -> Result<Vec<u8>, DeserializeError> {
    let (mut queries, mut start, mut end) = (Vec::new(), 0, now);
    each_field(&mut Decoder::new(body), &mut |decoder, field| {
        match field {
            "MetricDataQueries" => each_item(decoder, &mut |decoder| {
                queries.push(query(decoder)?);
                Ok(())
            })?,
            "StartTime" => start = decoder.timestamp()?.secs(),
            "EndTime" => end = decoder.timestamp()?.secs(),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    let mut out = Encoder::new(Vec::new());
    out.map(2).str("MetricDataResults");
    let shown: Vec<&Query> = queries.iter().filter(|query| !query.hidden).collect();
    out.array(shown.len());
    for query in shown {
        let times = times(start, end, query.period.max(1), now);
        let value = match (query.statistic.as_str(), bad) {
            ("SampleCount", _) => SAMPLES,
            (_, true) => BAD,
            (_, false) => GOOD,
        };
        out.map(5).str("Id").str(&query.id).str("Label").str(&query.id).str("StatusCode").str("Complete");
        out.str("Timestamps").array(times.len());
        for time in &times {
            out.timestamp(&DateTime::from_secs(*time));
        }
        out.str("Values").array(times.len());
        for _ in &times {
            out.double(value);
        }
    }
    out.str("Messages").array(0);
    Ok(out.into_writer())
}

/// The starts of the periods in `[start, end)` that have begun, newest first, as CloudWatch gives them.
fn times(start: i64, end: i64, period: i64, now: i64) -> Vec<i64> {
    let newest = (end - 1).min(now).div_euclid(period) * period;
    (0..POINTS_LIMIT).map(|back| newest - back * period).take_while(|time| *time >= start).collect()
}

fn query(decoder: &mut Decoder<'_>) -> Result<Query, DeserializeError> {
    let mut query = Query::default();
    each_field(decoder, &mut |decoder, field| {
        match field {
            "Id" => query.id = decoder.string()?,
            "Period" => query.period = decoder.long()?,
            "ReturnData" => query.hidden = !decoder.boolean()?,
            "MetricStat" => each_field(decoder, &mut |decoder, field| {
                match field {
                    "Stat" => query.statistic = decoder.string()?,
                    "Period" => query.period = decoder.long()?,
                    _ => decoder.skip()?,
                }
                Ok(())
            })?,
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    Ok(query)
}

fn alarms(body: &[u8]) -> Result<Vec<u8>, DeserializeError> {
    let mut names = Vec::new();
    each_field(&mut Decoder::new(body), &mut |decoder, field| match field {
        "AlarmNames" => each_item(decoder, &mut |decoder| {
            names.push(decoder.string()?);
            Ok(())
        }),
        _ => decoder.skip(),
    })?;
    let mut out = Encoder::new(Vec::new());
    out.map(2).str("MetricAlarms").array(names.len());
    for name in &names {
        out.map(3).str("AlarmName").str(name).str("StateValue").str("OK").str("ActionsEnabled").boolean(true);
    }
    out.str("CompositeAlarms").array(0);
    Ok(out.into_writer())
}

type Reader<'a, 'b> = &'a mut dyn FnMut(&mut Decoder<'b>, &str) -> Result<(), DeserializeError>;

/// Reads a map, of known length or not, field by field.
fn each_field<'b>(decoder: &mut Decoder<'b>, read: Reader<'_, 'b>) -> Result<(), DeserializeError> {
    let length = decoder.map()?;
    let mut seen = 0;
    while length.is_none_or(|length| seen < length) {
        if length.is_none() && decoder.datatype()? == Type::Break {
            return decoder.skip();
        }
        let field = decoder.string()?;
        read(decoder, &field)?;
        seen += 1;
    }
    Ok(())
}

/// Reads a list, of known length or not, item by item.
fn each_item<'b>(
    decoder: &mut Decoder<'b>,
    read: &mut dyn FnMut(&mut Decoder<'b>) -> Result<(), DeserializeError>,
) -> Result<(), DeserializeError> {
    let length = decoder.list()?;
    let mut seen = 0;
    while length.is_none_or(|length| seen < length) {
        if length.is_none() && decoder.datatype()? == Type::Break {
            return decoder.skip();
        }
        read(decoder)?;
        seen += 1;
    }
    Ok(())
}
