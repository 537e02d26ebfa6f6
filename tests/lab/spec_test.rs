//! How a link is written.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::lab::spec::{
    Change, Loss, Nat, Order, Outage, Rate, RouterChange, RouterSpec, Side, SpecError, What, parse_time,
};

#[test]
fn rates_have_a_unit() {
    assert_eq!("100mbit".parse(), Ok(Rate::mbit(100)));
    assert_eq!("2.5gbit".parse(), Ok(Rate::mbit(2500)));
    assert_eq!("9600bit".parse(), Ok(Rate::Bits(NonZeroU64::new(9600).expect("not zero"))));
    assert_eq!("unlimited".parse(), Ok(Rate::Unlimited));
    for bad in ["100", "mbit", "0mbit", "-1mbit", "1e3mbit", "infmbit", "1mbps", ""] {
        assert_eq!(bad.parse::<Rate>(), Err(SpecError::Rate(bad.into())));
    }
}

#[test]
fn times_have_a_unit() {
    assert_eq!(parse_time("25ms"), Ok(Duration::from_millis(25)));
    assert_eq!(parse_time("1.5s"), Ok(Duration::from_millis(1500)));
    assert_eq!(parse_time("250us"), Ok(Duration::from_micros(250)));
    for bad in ["25", "ms", "-1s", "1m", "99999999999999999999s"] {
        assert_eq!(parse_time(bad), Err(SpecError::Time(bad.into())));
    }
}

#[test]
fn loss_is_a_share_or_per_cent() {
    assert_eq!("0.25".parse(), Ok(Loss::of(0.25)));
    assert_eq!("25%".parse(), Ok(Loss::of(0.25)));
    for bad in ["1.5", "101%", "-0.1", "nan", ""] {
        assert_eq!(bad.parse::<Loss>(), Err(SpecError::Loss(bad.into())));
    }
}

#[test]
fn an_outage_is_a_start_and_a_length() {
    let outage = Outage { start: Duration::from_secs(5), length: Duration::from_millis(800) };
    assert_eq!("5s:800ms".parse(), Ok(outage));
    for bad in ["5s", "5:1", "5s:", "5s:1s:1s"] {
        assert_eq!(bad.parse::<Outage>(), Err(SpecError::Outage(bad.into())));
    }
}

#[test]
fn orders_name_a_change_and_perhaps_a_direction() {
    let both = |change| Ok(Order { what: What::Link(change), from: None });
    assert_eq!("rate 10mbit".parse(), both(Change::Rate(Rate::mbit(10))));
    assert_eq!(" delay  50ms ".parse(), both(Change::Delay(Duration::from_millis(50))));
    assert_eq!("queue 65536".parse(), both(Change::Queue(Some(65_536))));
    assert_eq!("queue default".parse(), both(Change::Queue(None)));
    assert_eq!("up".parse(), both(Change::Up));
    let from = |change, side| Ok(Order { what: What::Link(change), from: Some(side) });
    assert_eq!("down from a".parse(), from(Change::Down, Side::A));
    assert_eq!("loss 5% from b".parse(), from(Change::Loss(Loss::of(0.05)), Side::B));
}

#[test]
fn a_router_is_a_kind_and_perhaps_a_time() {
    assert_eq!("easy".parse(), Ok(RouterSpec::of(Nat::Easy)));
    assert_eq!("hard:30s".parse(), Ok(RouterSpec { nat: Nat::Hard, lifetime: Duration::from_secs(30) }));
    for bad in ["", "full-cone", "hard:", "hard:30"] {
        assert_eq!(bad.parse::<RouterSpec>(), Err(SpecError::Router(bad.into())));
    }
}

#[test]
fn orders_are_for_routers_too() {
    let order = |change, from| Ok(Order { what: What::Router(change), from });
    assert_eq!("flush".parse(), order(RouterChange::Flush, None));
    assert_eq!("udp off from a".parse(), order(RouterChange::Udp(false), Some(Side::A)));
    let outside = RouterChange::Outside([10, 77, 0, 9].into());
    assert_eq!("outside 10.77.0.9 from b".parse(), order(outside, Some(Side::B)));
    // Two routers at one address lead nowhere.
    assert_eq!("outside 10.77.0.9".parse::<Order>(), Err(SpecError::Outside("10.77.0.9".into())));
}

#[test]
fn an_order_that_is_none_says_what_is_wrong() {
    for bad in ["", "jump", "rate", "rate 1mbit 2mbit", "down from c", "from a", "up a"] {
        assert_eq!(bad.parse::<Order>(), Err(SpecError::Order(bad.into())));
    }
    assert_eq!("delay 5".parse::<Order>(), Err(SpecError::Time("5".into())));
    assert_eq!("queue big".parse::<Order>(), Err(SpecError::Queue("big".into())));
}
