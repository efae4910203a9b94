//! Finds out which backbone a file of weights holds, from the names and shapes of its tensors: a ResNet by
//! torchvision's names, a vision transformer by timm's or DINOv2's.

use super::backbone::Backbone;
use super::prefix::{called, own_prefix};
use super::resnet::{Depth, ResNet, Stem};
use super::tensors::{View, tensors};
use super::vit::{GlobalPool, Vit};
use crate::base::{Error, Result};
use crate::tape::Type;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Channels of an attention head in every usual transformer.
const HEAD: usize = 64;

/// More blocks than any known transformer has.
const MAX_BLOCKS: usize = 256;

/// A backbone that was found in a file.
#[derive(Clone, Debug)]
pub struct Told {
    /// The network.
    pub backbone: Arc<dyn Backbone>,
    /// Side in pixels of the images that its position embeddings are made for; `None` for a network without position
    /// embeddings.
    pub image_size: Option<usize>,
}

/// The backbone in the file at `path`, which holds `bytes`. It is an error if the names are those of no known network,
/// if the file holds several networks, or if its sizes are those of no network here.
pub fn told((path, bytes): (&Path, &[u8])) -> Result<Told> {
    let file = tensors(path, bytes)?;
    of(&file).map_err(|why| Error::Data(format!("{}: {why}", path.display())))
}

/// For each kind of network: a tensor that only this kind has, and another tensor that it must have, too.
const RESNET: [&str; 2] = ["layer1.0.conv1.weight", "conv1.weight"];
const VIT: [&str; 2] = ["patch_embed.proj.weight", "blocks.0.norm1.weight"];

fn of(file: &BTreeMap<String, View<'_>>) -> Result<Told, String> {
    let names: Vec<&String> = file.keys().collect();
    for (marks, make) in [(RESNET, resnet as fn(&Named<'_>) -> Result<Told, String>), (VIT, vit)] {
        let wanted = marks.map(|name| (name.to_string(), Type::f32([1])));
        let own = own_prefix(&names, &wanted)?.prefix;
        let named = Named { file, own };
        if marks.iter().all(|m| named.get(m).is_some()) {
            return make(&named);
        }
    }
    let first = names.first().map_or(String::new(), |n| format!(", but {n}"));
    Err(format!(
        "it holds no backbone that is known by its names: neither {} of torchvision's ResNets nor {} of timm's vision \
         transformers{first}",
        RESNET[0], VIT[0]
    ))
}

/// The tensors whose names begin with a prefix.
struct Named<'a> {
    file: &'a BTreeMap<String, View<'a>>,
    own: String,
}

impl Named<'_> {
    fn get(&self, name: &str) -> Option<&[usize]> {
        self.file.get(&format!("{}{name}", self.own)).map(|v| v.shape.as_slice())
    }

    fn shape<const D: usize>(&self, name: &str) -> Result<[usize; D], String> {
        let shape = self.get(name).ok_or_else(|| format!("it has no tensor {name}"))?;
        let found = shape.try_into().ok().filter(|s: &[usize; D]| !s.contains(&0));
        found.ok_or_else(|| format!("its {name} has the shape {shape:?}; it must have {D} axes, none of them 0"))
    }

    /// How many tensors there are whose names `name` makes from 0, 1, 2 and so on.
    fn count(&self, name: impl Fn(usize) -> String) -> usize {
        (0..).take_while(|&i| self.get(&name(i)).is_some()).count()
    }
}

fn resnet(named: &Named<'_>) -> Result<Told, String> {
    let [_, in_channels, side, _] = named.shape("conv1.weight")?;
    let stem = match side {
        3 => Stem::Small,
        7 => Stem::Large,
        _ => return Err(format!("its first convolution is {side} pixels wide; a ResNet's is 3 or 7 here")),
    };
    let blocks = [1, 2, 3, 4].map(|stage| named.count(|i| format!("layer{stage}.{i}.conv1.weight")));
    let expansion = if named.get("layer1.0.conv3.weight").is_some() { 4 } else { 1 };
    let Some(depth) = Depth::ALL.into_iter().find(|d| d.blocks() == blocks && d.expansion() == expansion) else {
        let [a, b, c, d] = blocks;
        return Err(format!(
            "its stages have {a}, {b}, {c} and {d} blocks, and ResNets of 18, 34 and 50 layers are known"
        ));
    };
    let mut channels = [0; 4];
    for (i, channels) in channels.iter_mut().enumerate() {
        let name = format!("layer{}.0.conv2.weight", i + 1);
        let [out, from, ..] = named.shape::<4>(&name)?;
        if out != from {
            return Err(format!("its {name} goes from {from} to {out} channels, which no ResNet does"));
        }
        *channels = out;
    }
    let width = width(channels).ok_or_else(|| format!("its stages have {channels:?} channels, which no ResNet has"))?;
    Ok(Told { backbone: Arc::new(ResNet { depth, stem, width, in_channels }), image_size: None })
}

/// The width of a ResNet whose 3×3 convolutions have these numbers of channels in the four stages.
fn width(channels: [usize; 4]) -> Option<f64> {
    let gives = |width: f64| ResNet::resnet18(Stem::Small, width, 3).channels() == channels;
    let (mut low, mut high) = (0f64, f64::INFINITY);
    for (c, base) in channels.iter().zip([64.0, 128.0, 256.0, 512.0]) {
        low = low.max((*c as f64 - 0.5) / base);
        high = high.min((*c as f64 + 0.5) / base);
    }
    // Both numbers may give the same channels. The first is the one that people write, so it is tried first.
    [channels[3] as f64 / 512.0, (low + high) / 2.0].into_iter().find(|&width| gives(width))
}

fn vit(named: &Named<'_>) -> Result<Told, String> {
    let [width, in_channels, patch, _] = named.shape("patch_embed.proj.weight")?;
    if !width.is_multiple_of(HEAD) {
        return Err(format!("its tokens have {width} numbers, which is no multiple of {HEAD}, the numbers of a head"));
    }
    let [_, tokens, _] = named.shape("pos_embed")?;
    // The sizes must be those of tensors that the file really holds, because the network is built from them.
    if named.shape("blocks.0.attn.qkv.weight")? != [3 * width, width] {
        return Err(format!("its blocks.0.attn.qkv.weight is not {} × {width}", 3 * width));
    }
    let patches = if tokens.isqrt().pow(2) == tokens { tokens } else { tokens.saturating_sub(1) };
    let depth = named.count(|i| format!("blocks.{i}.norm1.weight"));
    if depth > MAX_BLOCKS {
        return Err(format!("it has {depth} blocks, more than {MAX_BLOCKS}"));
    }
    // timm has a norm of this name if the network averages its patches.
    let averages = named.get("fc_norm.weight").is_some();
    let global_pool = if averages { GlobalPool::Avg } else { GlobalPool::Token };
    let registers = called("register_tokens").find_map(|n| Some(*named.get(n)?.get(1)?));
    let backbone = Vit {
        patch,
        width,
        depth,
        heads: width / HEAD,
        in_channels,
        registers: registers.unwrap_or(0),
        layer_scale: named.get("blocks.0.ls1.gamma").is_some(),
        global_pool,
    };
    Ok(Told { backbone: Arc::new(backbone), image_size: Some(patches.isqrt() * patch) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::Dtype;

    fn told(shapes: &[(&str, &[usize])]) -> Result<String, String> {
        let file = shapes.iter().map(|(n, s)| (n.to_string(), View::new(Dtype::F32, s.to_vec(), &[]))).collect();
        of(&file).map(|t| format!("{:?} {:?}", t.backbone, t.image_size))
    }

    fn resnet(stem: usize, channels: [usize; 4], blocks: [usize; 4], deep: bool) -> Result<String, String> {
        let mut all = vec![("m.conv1.weight".to_string(), vec![channels[0], 3, stem, stem])];
        for (stage, (&c, &n)) in channels.iter().zip(&blocks).enumerate() {
            for i in 0..n {
                let name = |conv: u8| format!("m.layer{}.{i}.conv{conv}.weight", stage + 1);
                all.push((name(1), vec![c, c, 3, 3]));
                all.push((name(2), vec![c, c, 3, 3]));
                all.extend(deep.then(|| (name(3), vec![4 * c, c, 1, 1])));
            }
        }
        let all: Vec<(&str, &[usize])> = all.iter().map(|(n, s)| (n.as_str(), s.as_slice())).collect();
        told(&all)
    }

    #[test]
    fn resnets_are_told_by_stem_blocks_and_channels() {
        let has = |made: Result<String, String>, words: &[&str]| {
            let made = made.unwrap();
            words.iter().for_each(|w| assert!(made.contains(w), "{made}: {w}"));
        };
        has(resnet(7, [64, 128, 256, 512], [2; 4], false), &["Eighteen", "Large", "width: 1.0", "in_channels: 3"]);
        has(resnet(3, [4, 8, 16, 32], [3, 4, 6, 3], false), &["ThirtyFour", "Small", "width: 0.0625"]);
        has(resnet(3, [32, 64, 128, 256], [3, 4, 6, 3], true), &["Fifty", "width: 0.5"]);
        // A width of 0.05 is rounded in each stage: 3.2, 6.4, 12.8, 25.6.
        let channels = ResNet::resnet18(Stem::Small, 0.05, 3).channels();
        assert_eq!(width(channels).map(|w| ResNet::resnet18(Stem::Small, w, 3).channels()), Some(channels));
        for (made, says) in [
            (resnet(5, [64, 128, 256, 512], [2; 4], false), "5 pixels wide"),
            (resnet(7, [64, 128, 256, 512], [3, 4, 23, 3], true), "3, 4, 23 and 3 blocks"),
            (resnet(7, [64, 64, 64, 64], [2; 4], false), "[64, 64, 64, 64] channels"),
            (told(&[("a.b", &[1])]), "no backbone that is known by its names"),
            (told(&[]), "no backbone"),
        ] {
            let why = made.unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn transformers_are_told_by_width_depth_and_extras() {
        let plain: &[(&str, &[usize])] = &[
            ("patch_embed.proj.weight", &[192, 3, 16, 16]),
            ("pos_embed", &[1, 197, 192]),
            ("blocks.0.norm1.weight", &[192]),
            ("blocks.1.norm1.weight", &[192]),
            ("blocks.0.attn.qkv.weight", &[576, 192]),
        ];
        let made = told(plain).unwrap();
        let due = "patch: 16, width: 192, depth: 2, heads: 3, in_channels: 3, registers: 0, layer_scale: false";
        assert!(made.contains(due) && made.ends_with("Some(224)"), "{made}");
        let more: &[(&str, &[usize])] = &[("blocks.0.ls1.gamma", &[192]), ("reg_token", &[1, 4, 192])];
        let made = told(&[plain, more].concat()).unwrap();
        assert!(made.contains("registers: 4, layer_scale: true"), "{made}");
        let mean: &[(&str, &[usize])] = &[("fc_norm.weight", &[192])];
        assert!(told(&[plain, mean].concat()).unwrap().contains("global_pool: Avg"));
        let odd: &[(&str, &[usize])] = &[("patch_embed.proj.weight", &[100, 3, 16, 16])];
        assert!(told(&[&plain[1..], odd].concat()).unwrap_err().contains("have 100 numbers"));
    }
}
