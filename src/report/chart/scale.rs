//! From a figure to where it is drawn.

/// Maps figures onto pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    kind: Curve,
    /// The least and the greatest figure, as the curve bends them.
    domain: (f64, f64),
    /// The pixels of the two.
    range: (f64, f64),
}

/// How figures are bent before they are spread evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    Linear,
    /// Each power of ten is as wide as the next.
    Log,
    /// For quantiles: log(1/(1-q)), so that each nine is as wide as the next.
    Tail,
}

impl Curve {
    fn bend(self, figure: f64) -> f64 {
        match self {
            Self::Linear => figure,
            Self::Log => figure.max(f64::MIN_POSITIVE).log10(),
            Self::Tail => -(1.0 - figure).max(1e-12).log10(),
        }
    }
}

impl Scale {
    fn new(kind: Curve, (least, most): (f64, f64), range: (f64, f64)) -> Self {
        Self { kind, domain: (kind.bend(least), kind.bend(most)), range }
    }

    pub(super) fn linear(domain: (f64, f64), range: (f64, f64)) -> Self {
        Self::new(Curve::Linear, domain, range)
    }

    /// The domain is above zero.
    pub(super) fn log(domain: (f64, f64), range: (f64, f64)) -> Self {
        Self::new(Curve::Log, domain, range)
    }

    /// The domain is within 0 to 1.
    pub(super) fn tail(domain: (f64, f64), range: (f64, f64)) -> Self {
        Self::new(Curve::Tail, domain, range)
    }

    /// Where the figure is; what lies outside the domain is drawn at its edge.
    pub(super) fn at(&self, figure: f64) -> f64 {
        let (least, most) = self.domain;
        let share = (self.kind.bend(figure) - least) / (most - least).max(f64::MIN_POSITIVE);
        let (from, to) = self.range;
        from + share.clamp(0.0, 1.0) * (to - from)
    }

    /// The pixels of the least and the greatest figure.
    pub(super) fn range(&self) -> (f64, f64) {
        self.range
    }

    /// Round figures within the domain, some `about` of them.
    pub(super) fn ticks(&self, about: usize) -> Vec<f64> {
        let (least, most) = self.domain;
        match self.kind {
            Curve::Linear => even_ticks(least, most, about),
            Curve::Log => decade_ticks(least, most, about),
            Curve::Tail => {
                let nines = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999];
                let inside = |q: &f64| (least - 1e-9..=most + 1e-9).contains(&Curve::Tail.bend(*q));
                nines.into_iter().filter(inside).collect()
            }
        }
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn even_ticks(least: f64, most: f64, about: usize) -> Vec<f64> {
    let rough = (most - least) / about.max(1) as f64;
    if rough <= 0.0 || !rough.is_finite() {
        return vec![least];
    }
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
    let step = step.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(power * 10.0);
    let (first, last) = ((least / step).ceil() as i64, (most / step + 1e-9).floor() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

/// Powers of ten; where there are few, their doubles and quintuples too.
fn decade_ticks(least: f64, most: f64, about: usize) -> Vec<f64> {
    let (first, last) = (least.floor() as i32, most.ceil() as i32);
    let within = |times: &'static [f64]| -> Vec<f64> {
        let all = (first..=last).flat_map(|power| times.iter().map(move |t| t * 10f64.powi(power)));
        let inside = |tick: &f64| (least - 1e-9..=most + 1e-9).contains(&tick.log10());
        all.filter(inside).collect()
    };
    let fine = within(&[1.0, 2.0, 5.0]);
    if fine.len() <= about { fine } else { within(&[1.0]) }
}

/// The power of ten or its double or quintuple that is just above, so that a curve has room.
pub(super) fn round_up(figure: f64) -> f64 {
    let power = 10f64.powf(figure.max(1e-6).log10().floor());
    let above = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter();
    above.into_iter().find(|above| *above >= figure).unwrap_or(figure)
}

/// The same just below.
pub(super) fn round_down(figure: f64) -> f64 {
    let power = 10f64.powf(figure.max(1e-6).log10().floor());
    let below = [5.0, 2.0, 1.0].map(|times| times * power).into_iter();
    below.into_iter().find(|below| *below <= figure).unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middles_are_where_they_belong() {
        let linear = Scale::linear((0.0, 10.0), (100.0, 0.0));
        assert_eq!([0.0, 5.0, 10.0].map(|figure| linear.at(figure)), [100.0, 50.0, 0.0]);
        assert_eq!([-1.0, 99.0].map(|figure| linear.at(figure)), [100.0, 0.0], "at the edge");
        let log = Scale::log((0.1, 1000.0), (0.0, 400.0));
        assert_eq!(
            [0.1, 1.0, 100.0, 1000.0].map(|figure| log.at(figure).round()),
            [0.0, 100.0, 300.0, 400.0]
        );
        assert_eq!(log.at(0.0), 0.0);
        let tail = Scale::tail((0.0, 0.999), (0.0, 300.0));
        assert_eq!([0.0, 0.9, 0.99, 0.999].map(|q| tail.at(q).round()), [0.0, 100.0, 200.0, 300.0]);
    }

    #[test]
    fn a_domain_without_width_divides_by_nothing() {
        let point = Scale::linear((3.0, 3.0), (10.0, 20.0));
        assert!(point.at(3.0).is_finite());
        assert_eq!(point.ticks(5), [3.0]);
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let even = Scale::linear((0.0, 7.4), (0.0, 1.0)).ticks(5);
        assert_eq!(even, [0.0, 2.0, 4.0, 6.0]);
        let fine = Scale::log((0.1, 5.0), (0.0, 1.0)).ticks(8);
        let rounded: Vec<f64> = fine.iter().map(|tick| (tick * 10.0).round() / 10.0).collect();
        assert_eq!(rounded, [0.1, 0.2, 0.5, 1.0, 2.0, 5.0]);
        assert_eq!(Scale::log((0.001, 1000.0), (0.0, 1.0)).ticks(8).len(), 7);
        assert_eq!(Scale::tail((0.0, 0.999), (0.0, 1.0)).ticks(9), [0.0, 0.5, 0.9, 0.99, 0.999]);
    }

    #[test]
    fn rounding_leaves_room() {
        for (figure, below, above) in [(0.3, 0.2, 0.5), (1.0, 1.0, 1.0), (131.9, 100.0, 200.0)] {
            assert!((round_down(figure) - below).abs() < 1e-12, "{figure}");
            assert!((round_up(figure) - above).abs() < 1e-12, "{figure}");
        }
    }
}
