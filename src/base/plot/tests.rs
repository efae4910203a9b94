//! Tests of plots.

use super::*;

#[test]
fn a_plot_draws_its_lines_labels_and_bars() {
    let point = |x, y, spread| Point { x, y, spread };
    let plot = Plot {
        title: "a <b>".into(),
        x_label: "wrong labels".into(),
        lines: vec![Line {
            style: 1,
            points: vec![point(0.0, 90.0, Some(2.0)), point(40.0, 70.0, None)],
            band: vec![],
            dots: true,
        }],
    };
    let svg = plot.svg().unwrap();
    assert!(svg.starts_with("<svg role=\"img\" aria-label=\"a &lt;b&gt;\" viewBox=\"0 0 380 250\""), "{svg}");
    for part in ["wrong labels", "80 %", "currentColor", &colour(1), "<polygon", "</svg>"] {
        assert!(svg.contains(part), "{part} is not in {svg}");
    }
    assert!(!svg.contains("#000000"));
    assert_eq!(svg, plot.svg().unwrap());
}

#[test]
fn a_band_lies_around_its_line_and_has_an_end_for_each_point() {
    let points = [10.0, 20.0].map(|x| Point { x, y: 50.0, spread: None }).to_vec();
    let plot = |band| Plot {
        title: "bands".into(),
        x_label: "x".into(),
        lines: vec![Line { style: 0, points: points.clone(), band, dots: true }],
    };
    let bare = plot(vec![]).svg().unwrap();
    let svg = plot(vec![[40.0, 60.0], [30.0, 90.0]]).svg().unwrap();
    assert_eq!(svg.matches("<polygon").count(), bare.matches("<polygon").count() + 1);
    assert!(svg.contains("80 %") && !bare.contains("80 %"), "the axis holds the band");
    assert!(plot(vec![[40.0, 60.0]]).svg().is_err(), "one end short");
}

#[test]
fn an_axis_with_one_place_names_that_place_alone() {
    let at = |x, y| Point { x, y, spread: None };
    let plot = |points: Vec<Point>| {
        let line = Line { style: 1, points, band: vec![], dots: true };
        let svg = Plot { title: "t".into(), x_label: "x".into(), lines: vec![line] }.svg().unwrap();
        // The words of an element stand alone on their line.
        svg.lines().map(str::trim).filter(|l| l.parse::<f64>().is_ok()).map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(plot(vec![at(33.3, 60.0)]), ["33.3"]);
    assert_eq!(plot(vec![at(0.0, 60.0), at(0.0, 70.0)]), ["0"]);
    assert!(plot(vec![at(0.0, 60.0), at(40.0, 50.0)]).len() > 3);
}

/// For any numbers, a plot is drawn or refused, in a short time.
#[test]
fn any_number_is_drawn_or_refused() {
    let odd = [0.0, -0.0, 1.0, 100.0, 750.0, -300.0, 1e-300, 5e11, -5e11, 1e12, 1e300, f64::INFINITY, f64::NAN];
    for (x, y) in odd.iter().flat_map(|x| odd.iter().map(move |y| (*x, *y))) {
        for spread in [None, Some(0.0), Some(1e11), Some(f64::NAN)] {
            for other in [0.0, x, x + 1.0] {
                let points = vec![Point { x: other, y: 50.0, spread: None }, Point { x, y, spread }];
                let (title, x_label) = (String::new(), "epoch".to_string());
                let lines = vec![Line { style: 0, points, band: vec![], dots: true }];
                let drawn = Plot { title, x_label, lines }.svg();
                let far = is_far;
                assert_eq!(drawn.is_err(), [x, y, spread.unwrap_or(0.0), other].into_iter().any(far), "{x} {y}");
            }
        }
    }
}

#[test]
fn one_point_or_none_still_draws() {
    let plot = |points| Plot {
        title: String::new(),
        x_label: String::new(),
        lines: vec![Line { style: 0, points, band: vec![], dots: true }],
    };
    assert!(plot(vec![]).svg().is_ok());
    assert!(plot(vec![Point { x: 0.0, y: 50.0, spread: None }]).svg().is_ok());
}

/// Fifteen lines differ without any colour, sixty with them, of which thirteen by their colour alone.
#[test]
fn lines_are_told_apart() {
    let gray: std::collections::BTreeSet<_> = (0..15).map(|i| (marker(i), dash(i))).collect();
    let all: std::collections::BTreeSet<_> = (0..60).map(|i| (colour(i), marker(i))).collect();
    let colours: std::collections::BTreeSet<_> = (0..13).map(colour).collect();
    assert_eq!((gray.len(), all.len(), colours.len()), (15, 60, 13));
    assert!((1..40).all(|i| colour(i) != colour(0)), "the first colour is for one line alone");
    let points = (0..12).map(|i| Point { x: f64::from(i), y: 3.0, spread: None }).collect();
    let line = |style, points| Plot {
        title: String::new(),
        x_label: String::new(),
        lines: vec![Line { style, points, band: vec![], dots: false }],
    };
    let svg = line(6, points).svg().unwrap();
    assert!(svg.matches("<polyline").count() > 12, "its dashes are drawn: {svg}");
    assert_eq!(svg.matches("<polygon").count(), 4);
    assert!(key(6).contains("stroke-dasharray=\"8 4\"") && !key(1).contains("dasharray"));
}
