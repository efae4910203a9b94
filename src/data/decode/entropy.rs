//! Checks that the scans of a JPEG hold what its frame needs. It reads the Huffman codes and reconstructs nothing.
//!
//! Decoders fill up a scan that ends early and skip surplus data, so a cut or overwritten file gives another picture
//! without an error. Here both are errors. Names and figures are those of ITU-T T.81.

/// The most scans of a progressive file. Encoders make about ten. A file with thousands is meant to take hours.
const MOST_SCANS: usize = 500;

/// One component of a frame.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its id in scan headers.
    pub id: u8,
    /// Horizontal and vertical sampling factor.
    pub sampling: (usize, usize),
    /// Blocks across and down if it is the only component of a scan.
    blocks: (usize, usize),
    /// Blocks across if it shares a scan: whole groups of every component.
    stride: usize,
    /// For each coefficient, the lowest bit that a scan has given so far; [`UNTOLD`] where no scan has.
    told: [u8; 64],
    /// For a progressive frame, which coefficients of each block are not zero. A refinement has a bit for each of them.
    nonzero: Vec<u64>,
}

const UNTOLD: u8 = 255;

/// The frame header, and what the scans have given so far.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Whether the coefficients are spread over several scans.
    pub progressive: bool,
    /// One, three or four components.
    pub components: Vec<Component>,
    /// Groups of blocks across and down if components share a scan.
    groups: (usize, usize),
    scans: usize,
}

impl Frame {
    /// Reads a frame header. `check` may refuse its columns and rows before memory is allocated.
    pub fn parse(
        header: &[u8],
        progressive: bool,
        check: &dyn Fn(u64, u64) -> Result<(), String>,
    ) -> Result<Self, String> {
        let [precision, h0, h1, w0, w1, n, list @ ..] = header else { return Err("its frame header is cut".into()) };
        let (height, width) =
            (usize::from(u16::from_be_bytes([*h0, *h1])), usize::from(u16::from_be_bytes([*w0, *w1])));
        if *precision != 8 {
            return Err(format!(
                "a JPEG of {precision} bits per sample is not read; save it with 8 bits or as a 16-bit PNG"
            ));
        }
        if width == 0 || height == 0 {
            return Err(format!("its frame header says {width}×{height} pixels"));
        }
        check(width as u64, height as u64)?;
        let n = usize::from(*n);
        if ![1, 3, 4].contains(&n) || list.len() != 3 * n {
            return Err(format!("a JPEG of {n} components is not read; use one (gray), three or four"));
        }
        let factors = |c: &[u8]| (usize::from(c[1] >> 4), usize::from(c[1] & 15));
        if let Some(c) = list.chunks_exact(3).find(|c| !matches!(factors(c), (1..=4, 1..=4))) {
            return Err(format!("its sampling factors are {}×{}; they must be from 1 to 4", c[1] >> 4, c[1] & 15));
        }
        let most = list.chunks_exact(3).map(factors).fold((1, 1), |m, f| (m.0.max(f.0), m.1.max(f.1)));
        let groups = (width.div_ceil(8 * most.0), height.div_ceil(8 * most.1));
        let component = |c: &[u8]| {
            let (h, v) = factors(c);
            let stride = groups.0 * h;
            Component {
                id: c[0],
                sampling: (h, v),
                blocks: ((width * h).div_ceil(8 * most.0), (height * v).div_ceil(8 * most.1)),
                stride,
                told: [UNTOLD; 64],
                nonzero: vec![0; if progressive { stride * groups.1 * v } else { 0 }],
            }
        };
        let components = list.chunks_exact(3).map(component).collect();
        Ok(Frame { width, height, progressive, components, groups, scans: 0 })
    }

    /// An error where the scans have not given all bits of a coefficient.
    pub fn complete(&self) -> Result<(), String> {
        match self.components.iter().position(|c| c.told.iter().any(|&low| low != 0)) {
            None => Ok(()),
            Some(i) if self.components[i].told == [UNTOLD; 64] => {
                Err(format!("it ends before the scan of component {}", i + 1))
            }
            Some(i) => Err(format!("it ends before the scans that refine component {}", i + 1)),
        }
    }
}

/// Huffman codes. Short codes: length and value, by the next 8 bits. Longer codes: the largest code of each length.
pub struct Table {
    short: [(u8, u8); 256],
    /// For each length: the first code after it, shifted to 16 bits, and the difference between a code and the index of
    /// its value.
    long: [(u32, i32); 17],
    values: Vec<u8>,
}

impl Table {
    /// The codes of `counts` values of each length from 1 to 16.
    pub fn new(counts: &[u8], values: &[u8]) -> Result<Self, String> {
        let mut table = Table { short: [(0, 0); 256], long: [(0, 0); 17], values: values.to_vec() };
        let (mut code, mut at) = (0u32, 0usize);
        for length in 1..=16 {
            let n = usize::from(counts[length - 1]);
            if code + n as u32 > 1 << length {
                return Err(format!("a table holds more Huffman codes of {length} bits than there are"));
            }
            table.long[length] = ((code + n as u32) << (16 - length), at as i32 - code as i32);
            for &value in &values[at..at + n] {
                if length <= 8 {
                    let first = (code as usize) << (8 - length);
                    table.short[first..first + (1 << (8 - length))].fill((length as u8, value));
                }
                code += 1;
                at += 1;
            }
            code <<= 1;
        }
        Ok(table)
    }
}

/// The bits of entropy-coded data up to the next marker.
struct Bits<'a> {
    bytes: &'a [u8],
    /// The index of the next byte.
    at: usize,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.bytes.get(self.at) {
                Some(0xFF) if self.bytes.get(self.at + 1) == Some(&0) => {
                    self.at += 1;
                    0xFF
                }
                Some(0xFF) | None => return,
                Some(&byte) => byte,
            };
            self.at += 1;
            self.held |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next `n` bits, at most 16.
    fn take(&mut self, n: u32) -> Result<u32, String> {
        if self.count < n {
            self.fill();
        }
        if self.count < n {
            return Err("its data ends before the picture does: the file is cut or damaged".into());
        }
        let bits = if n == 0 { 0 } else { (self.held >> (64 - n)) as u32 };
        self.held <<= n;
        self.count -= n;
        Ok(bits)
    }

    fn symbol(&mut self, table: &Table) -> Result<u8, String> {
        if self.count < 16 {
            self.fill();
        }
        let (length, value) = table.short[(self.held >> 56) as usize];
        if length > 0 {
            self.take(length.into())?;
            return Ok(value);
        }
        let next = (self.held >> 48) as u32;
        let length = (9..17).find(|&l| next < table.long[l].0);
        let length = length.ok_or("its data holds a code that is in no table: the file is damaged")?;
        let code = self.take(length as u32)?;
        Ok(table.values[(code as i32 + table.long[length].1) as usize])
    }

    /// Ends a run of data. Only the bits of a begun byte may be left, and zeros, with which some encoders pad.
    fn end(&mut self) -> Result<(), String> {
        self.take(self.count % 8)?;
        loop {
            if self.count == 0 {
                self.fill();
            }
            if self.count == 0 {
                return Ok(());
            }
            if self.take(8)? != 0 {
                return Err("its data goes on after the end of the picture: the file is damaged".into());
            }
        }
    }

    /// Skips the restart marker number `n`.
    fn restart(&mut self, n: u8) -> Result<(), String> {
        self.end()?;
        while self.bytes.get(self.at) == Some(&0xFF) && self.bytes.get(self.at + 1) == Some(&0xFF) {
            self.at += 1;
        }
        if self.bytes.get(self.at..self.at + 2) != Some(&[0xFF, 0xD0 + n]) {
            return Err(format!("the restart marker {n} is missing at byte {}: the file is damaged", self.at));
        }
        self.at += 2;
        Ok(())
    }
}

/// The header of a scan: its coefficients, their bits, and the tables.
struct Scan<'t> {
    /// Component, DC table, AC table.
    parts: Vec<(usize, Option<&'t Table>, Option<&'t Table>)>,
    first: usize,
    last: usize,
    /// The lowest bit that earlier scans gave (0 in a first scan), and the lowest bit that this scan gives.
    bits: (u8, u8),
}

/// The Huffman tables that are set, DC and AC.
pub type Tables = [[Option<Table>; 4]; 2];

/// Reads the scan whose `header` was read and whose data begins at `at`. Gives the place after the data.
pub fn walk(
    frame: &mut Frame,
    tables: &Tables,
    restart: usize,
    header: &[u8],
    bytes: &[u8],
    at: usize,
) -> Result<usize, String> {
    frame.scans += 1;
    if frame.scans > MOST_SCANS {
        return Err(format!("it has more than {MOST_SCANS} scans"));
    }
    let scan = parse(frame, tables, header)?;
    tell(frame, &scan)?;
    let mut bits = Bits { bytes, at, held: 0, count: 0 };
    let alone = scan.parts.len() == 1;
    let groups = if alone { frame.components[scan.parts[0].0].blocks } else { frame.groups };
    let (mut run, total) = (0, groups.0 * groups.1);
    for group in 0..total {
        if restart > 0 && group > 0 && group % restart == 0 {
            bits.restart(((group / restart - 1) % 8) as u8)?;
            run = 0;
        }
        let (column, row) = (group % groups.0, group / groups.0);
        for &(i, dc, ac) in &scan.parts {
            let component = &mut frame.components[i];
            let (h, v) = if alone { (1, 1) } else { component.sampling };
            for block in 0..h * v {
                let place = (row * v + block / h) * component.stride + column * h + block % h;
                let nonzero = component.nonzero.get_mut(place);
                match nonzero {
                    None => sequential(&mut bits, dc, ac)?,
                    Some(_) if scan.first == 0 => first_coefficient(&mut bits, dc, scan.bits.0)?,
                    Some(nonzero) => others(&mut bits, ac, &scan, nonzero, &mut run)?,
                }
            }
        }
    }
    bits.end()?;
    // An encoder may put a restart marker after the last group, too.
    if restart > 0 && matches!(bytes.get(bits.at..bits.at + 2), Some([0xFF, 0xD0..=0xD7])) {
        bits.at += 2;
    }
    Ok(bits.at)
}

fn parse<'t>(frame: &Frame, tables: &'t Tables, header: &[u8]) -> Result<Scan<'t>, String> {
    let n = usize::from(*header.first().unwrap_or(&0));
    if n == 0 || n > frame.components.len() || header.len() != 4 + 2 * n {
        return Err("a scan header has the wrong length".into());
    }
    let mut parts: Vec<(usize, Option<&Table>, Option<&Table>)> = Vec::with_capacity(n);
    for pair in header[1..1 + 2 * n].chunks_exact(2) {
        let at = frame.components.iter().position(|c| c.id == pair[0]);
        let at = at.ok_or_else(|| format!("a scan names the component {}, which is not in the frame", pair[0]))?;
        if parts.iter().any(|(i, ..)| *i == at) {
            return Err(format!("a scan names the component {} twice", pair[0]));
        }
        let table = |class: usize, k: u8| tables[class].get(usize::from(k)).and_then(Option::as_ref);
        parts.push((at, table(0, pair[1] >> 4), table(1, pair[1] & 15)));
    }
    let [first, last, bits] = [header[1 + 2 * n], header[2 + 2 * n], header[3 + 2 * n]];
    let scan = if frame.progressive {
        Scan { parts, first: first.into(), last: last.into(), bits: (bits >> 4, bits & 15) }
    } else {
        Scan { parts, first: 0, last: 63, bits: (0, 0) }
    };
    let range = scan.first <= scan.last && scan.last < 64 && (scan.first > 0 || scan.last == 0 || !frame.progressive);
    if !range || (scan.first > 0 && n > 1) || scan.bits.1 > 13 {
        return Err(format!("a scan of {n} components gives the coefficients {first} to {last}, which is not allowed"));
    }
    Ok(scan)
}

/// Marks what a scan gives. Each bit of each coefficient must come once, the highest first.
fn tell(frame: &mut Frame, scan: &Scan) -> Result<(), String> {
    for &(i, ..) in &scan.parts {
        let component = &mut frame.components[i];
        for k in scan.first..=scan.last {
            let (had, from, to) = (component.told[k], scan.bits.0, scan.bits.1);
            let follows = if had == UNTOLD { from == 0 } else { from == had && from == to + 1 };
            if !follows || (k > 0 && frame.progressive && component.told[0] == UNTOLD) {
                return Err(format!("a scan gives coefficient {k} of component {} out of turn", i + 1));
            }
            component.told[k] = to;
        }
    }
    Ok(())
}

const NO_TABLE: &str = "a scan uses a Huffman table that is not in the file";

fn sequential(bits: &mut Bits, dc: Option<&Table>, ac: Option<&Table>) -> Result<(), String> {
    first_coefficient(bits, dc, 0)?;
    let ac = ac.ok_or(NO_TABLE)?;
    let mut k = 1;
    while k < 64 {
        let (zeros, size) = split(bits.symbol(ac)?);
        match (zeros, size) {
            (15, 0) => k += 16,
            (_, 0) => return Ok(()),
            _ => {
                bits.take(size)?;
                k += zeros + 1;
            }
        }
    }
    if k > 64 { Err(TOO_MANY.into()) } else { Ok(()) }
}

const TOO_MANY: &str = "a block holds more than 64 coefficients: the file is damaged";

/// The high and low half of an AC symbol: how many zeros come first, and how many bits follow.
fn split(symbol: u8) -> (u32, u32) {
    (u32::from(symbol >> 4), u32::from(symbol & 15))
}

/// DC: a first scan codes the difference, a refinement is one bit.
fn first_coefficient(bits: &mut Bits, dc: Option<&Table>, had: u8) -> Result<(), String> {
    if had > 0 {
        return bits.take(1).map(drop);
    }
    let size = bits.symbol(dc.ok_or(NO_TABLE)?)?;
    if size > 15 {
        return Err("a difference has more than 15 bits: the file is damaged".into());
    }
    bits.take(size.into()).map(drop)
}

/// AC coefficients of a progressive scan, first (G.1.2.2) or refining (G.1.2.3). `run` counts blocks that have no more
/// of them.
fn others(bits: &mut Bits, ac: Option<&Table>, scan: &Scan, nonzero: &mut u64, run: &mut u32) -> Result<(), String> {
    let ac = ac.ok_or(NO_TABLE)?;
    let refining = scan.bits.0 > 0;
    let before = *nonzero;
    let mut k = scan.first;
    while k <= scan.last && *run == 0 {
        let (mut zeros, size) = split(bits.symbol(ac)?);
        if size == 0 && zeros < 15 {
            *run = (1 << zeros) + bits.take(zeros)?;
            break;
        }
        if refining && size > 1 {
            return Err("a refinement has more than one bit: the file is damaged".into());
        }
        bits.take(size)?;
        while k <= scan.last {
            if refining && before >> k & 1 == 1 {
                bits.take(1)?;
            } else if zeros == 0 {
                break;
            } else {
                zeros -= 1;
            }
            k += 1;
        }
        if k > scan.last && (size > 0 || !refining && zeros > 0) {
            return Err(TOO_MANY.into());
        }
        if size > 0 {
            *nonzero |= 1 << k;
        }
        k += 1;
    }
    if *run > 0 {
        *run -= 1;
        if refining && k <= scan.last {
            let rest = (before >> k) & (u64::MAX >> (63 - (scan.last - k)));
            for _ in 0..rest.count_ones() {
                bits.take(1)?;
            }
        }
    }
    Ok(())
}
