//! Runs the embedded ONNX classifier with tract; the only file that names tract.
//!
//! V8 compiles the whole module in every Envoy, so what is linked counts more than what is run. tract's typed operators
//! bring the optimiser with them: each is reached through a vtable that holds its declutter, axis and codegen passes. So
//! build.rs checks and lowers the ONNX file, and what is embedded is already the list of nodes to evaluate. Here they
//! become a tract [`Graph`] over [`Kernel`] objects, which can be evaluated and nothing else ([`EvalOnly`]); tract's plan
//! orders and runs them. docs/module-size.md has the measurements behind each choice.
//!
//! Not here: what the numbers mean (`mod.rs`), the ONNX file format and the shape checks (`build/`).

use std::borrow::Cow;
use std::fmt;
use std::hash::Hasher;

use pointsman_kernels::{PackedMatrix, SparseRow};
use tract_core::internal::{
    DatumType, EvalContext, ExoticFact, Fact, Graph, InletId, IntoTValue, Op, OutletId,
    PlainStorage, StaticName, Symbol, SymbolValues, TValue, TVec, Tensor, TensorStorage,
    TractError, TractResult, TypedFact, TypedOp, tvec,
};
use tract_core::ops::EvalOp;
use tract_core::plan::{SimplePlan, SimpleState};
use tract_core::prelude::Datum as Element;

use super::ClassifierError;

/// The output of build.rs: nodes, weights and sizes.
mod embedded {
    use super::{Datum, Node, Operator, PackedMatrix};

    /// A constant that begins with a cache line, so that a row of a table is one or a part of one.
    #[repr(C, align(64))]
    struct Aligned<const N: usize>([u8; N]);

    include!(concat!(env!("OUT_DIR"), "/classifier_graph.rs"));
}

pub use embedded::{FEATURES, NGRAM_ROWS, NGRAMS, OUTPUTS, TOKENS};

/// The input of one run.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Token ids without padding, at most [`TOKENS`].
    pub tokens: &'a [u16],
    /// Rows of the n-gram table, at most [`NGRAMS`].
    pub ngram_rows: &'a [u16],
    /// A weight for each of these rows.
    pub ngram_weights: &'a [f32],
    /// The numeric features.
    pub features: &'a [f32; FEATURES],
}

/// Element types that values of the embedded graph have.
#[derive(Clone, Copy)]
enum Datum {
    /// Numbers of rows: int64 in the file, 16 bits here, where every table has less rows.
    Row,
    F32,
}

impl Datum {
    fn tract(self) -> DatumType {
        match self {
            Datum::Row => u16::datum_type(),
            Datum::F32 => f32::datum_type(),
        }
    }
}

/// One node of the embedded graph; operands are numbers of earlier nodes.
struct Node {
    operator: Operator,
    operands: &'static [usize],
    datum: Datum,
    shape: &'static [usize],
}

/// The operator of a node.
enum Operator {
    /// A value that [`OnnxModel::run`] is given.
    Input,
    /// Gather of int8 rows, cast to float32, and their product with a row of weights.
    Bag { table: &'static [u8], width: usize },
    /// The operands, one row together, times constant weights; then max(x, 0) if `relu`.
    Dense {
        weights: PackedMatrix<'static>,
        relu: bool,
    },
}

/// The classifier's graph, ready to run. Keeps tract's state between runs, so running needs `&mut`.
pub struct OnnxModel {
    state: SimpleState<StaticFact, Kernel>,
}

impl OnnxModel {
    /// The model that build.rs embedded. Weights and tables stay in their place in the module.
    ///
    /// # Errors
    /// [`ClassifierError`] if the graph cannot be planned, which a test rules out for what is released.
    pub fn embedded() -> Result<OnnxModel, ClassifierError> {
        let state = plan(embedded::NODES, embedded::ANSWER).map_err(failed)?;
        Ok(OnnxModel { state })
    }

    /// Evaluates the graph.
    ///
    /// # Errors
    /// [`ClassifierError`] if there are too many tokens or n-grams, or one is outside its table.
    pub fn run(
        &mut self,
        inputs: Inputs<'_>,
        heads: &mut [f32; OUTPUTS],
    ) -> Result<(), ClassifierError> {
        self.evaluate(inputs, heads).map_err(failed)
    }

    fn evaluate(&mut self, inputs: Inputs<'_>, heads: &mut [f32]) -> TractResult<()> {
        // The mean over the tokens is a weighted sum over all.
        let count = inputs.tokens.len();
        let shares = [1.0 / count.max(1) as f32; TOKENS];
        let shares = shares
            .get(..count)
            .ok_or_else(|| broken("too many tokens"))?;
        if inputs.ngram_rows.len() != inputs.ngram_weights.len() {
            return Err(broken("n-grams and their weights differ in number"));
        }
        if inputs.ngram_rows.len() > NGRAMS {
            return Err(broken("too many n-grams"));
        }
        let inputs = tvec![
            value(&[count], inputs.tokens.to_vec()),
            value(&[1, count], shares.to_vec()),
            value(&[inputs.ngram_rows.len()], inputs.ngram_rows.to_vec()),
            value(
                &[1, inputs.ngram_weights.len()],
                inputs.ngram_weights.to_vec()
            ),
            value(&[1, FEATURES], inputs.features.to_vec()),
        ];
        let outputs = self.state.run(inputs)?;
        let mut left = heads;
        for output in &outputs {
            let output = numbers_of(output)?;
            let (own, behind) = left
                .split_at_mut_checked(output.len())
                .ok_or_else(|| broken("the outputs are too long"))?;
            own.copy_from_slice(output);
            left = behind;
        }
        match left {
            [] => Ok(()),
            _ => Err(broken("the outputs are too short")),
        }
    }
}

/// The cause alone: what tract adds around it names nodes, which mean nothing to a reader.
fn failed(error: TractError) -> ClassifierError {
    ClassifierError(format!("classifier model: {}", error.root_cause()))
}

fn broken(what: &'static str) -> TractError {
    TractError::msg(what)
}

/// The numbers of a tensor. tract's own storage names types in its errors; one of them has a scale, and with it comes the printing of
/// floats: 22 kB of code.
#[derive(Clone, PartialEq)]
struct Numbers<T>(Vec<T>);

impl<T: Element> Eq for Numbers<T> {}

impl<T> fmt::Debug for Numbers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T> fmt::Display for Numbers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers")
    }
}

impl<T: Element> TensorStorage for Numbers<T> {
    fn byte_len(&self) -> usize {
        size_of_val(self.0.as_slice())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn deep_clone(&self) -> Box<dyn TensorStorage> {
        Box::new(self.clone())
    }

    fn as_plain_ram(&self) -> Option<&PlainStorage> {
        None
    }

    fn as_plain_ram_mut(&mut self) -> Option<&mut PlainStorage> {
        None
    }

    fn into_plain_ram(self: Box<Self>) -> Option<PlainStorage> {
        None
    }

    /// Hashed only by passes that merge equal constants; none runs here.
    fn dyn_hash(&self, _: &mut dyn Hasher) {}

    fn exotic_fact(&self, _: &[usize]) -> TractResult<Option<Box<dyn ExoticFact>>> {
        Ok(None)
    }

    fn is_exotic(&self) -> bool {
        false
    }
}

/// A value of the graph.
fn value<T: Element>(shape: &[usize], numbers: Vec<T>) -> TValue {
    Tensor::from_storage(T::datum_type(), shape, Numbers(numbers)).into_tvalue()
}

/// The numbers of a [`value`].
fn numbers_of<T: Element>(value: &TValue) -> TractResult<&[T]> {
    let numbers = value.storage_as::<Numbers<T>>();
    let numbers = numbers.ok_or_else(|| broken("a value has numbers of another type"))?;
    Ok(&numbers.0)
}

/// Builds tract's graph from the embedded nodes and plans it.
fn plan(nodes: &[Node], answer: &[usize]) -> TractResult<SimpleState<StaticFact, Kernel>> {
    let mut graph = Graph::<StaticFact, Kernel>::default();
    let mut inputs = Vec::new();
    for node in nodes {
        let kernel = match node.operator {
            Operator::Input => {
                inputs.push(OutletId::new(graph.nodes.len(), 0));
                Kernel::new(Input)
            }
            Operator::Bag { table, width } => Kernel::new(Bag { table, width }),
            Operator::Dense { weights, relu } => Kernel::new(Dense { weights, relu }),
        };
        let fact = StaticFact {
            datum: node.datum.tract(),
            shape: node.shape.into(),
        };
        let id = graph.add_node("", kernel, tvec![fact])?;
        for (slot, operand) in node.operands.iter().enumerate() {
            graph.add_edge(OutletId::new(*operand, 0), InletId::new(id, slot))?;
        }
    }
    if nodes.is_empty() {
        return Err(broken("no model is embedded"));
    }
    graph.set_input_outlets(&inputs)?;
    let answer = answer.iter().map(|node| OutletId::new(*node, 0));
    graph.select_output_outlets(&answer.collect::<Vec<_>>())?;
    SimplePlan::new(graph)?.spawn()
}

/// Type and shape of a value. Shapes are static, so tract's symbolic facts, and the algebra behind them, stay out.
#[derive(Clone, PartialEq, Eq)]
struct StaticFact {
    datum: DatumType,
    shape: TVec<usize>,
}

/// Never printed: tract's text of a type would bring the printing of floats.
impl fmt::Debug for StaticFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fact")
    }
}

impl Fact for StaticFact {
    /// In WebAssembly it fails: there is nothing symbolic to tell, tract takes the error as just that, and the algebra of
    /// symbols stays out of the module. Natively an error may cost 15 µs, when backtraces are asked for; there it is a fact
    /// without dimensions, since tract would hold a list of rows to the size of its padding.
    #[cfg(target_family = "wasm")]
    fn to_typed_fact(&self) -> TractResult<Cow<'_, TypedFact>> {
        Err(broken("static shapes only"))
    }

    #[cfg(not(target_family = "wasm"))]
    fn to_typed_fact(&self) -> TractResult<Cow<'_, TypedFact>> {
        Ok(Cow::Owned(TypedFact::dt_shape(self.datum, [0_usize; 0])))
    }

    /// In WebAssembly it is not checked again that the inputs are as [`OnnxModel::evaluate`] makes them, as native tests see to: tract's
    /// error would print the tensor, and with it comes a cast between each two of its types, 100 kB of code.
    #[cfg(target_family = "wasm")]
    fn matches(&self, _: &Tensor, _: Option<&SymbolValues>) -> TractResult<bool> {
        Ok(true)
    }

    /// Lists of rows come without their padding, so sizes are the most that there may be: the kernels check what has to fit.
    #[cfg(not(target_family = "wasm"))]
    fn matches(&self, tensor: &Tensor, _: Option<&SymbolValues>) -> TractResult<bool> {
        let (most, shape) = (self.shape.as_slice(), tensor.shape());
        let fits = most.len() == shape.len() && most.iter().zip(shape).all(|(most, n)| n <= most);
        Ok(self.datum == tensor.datum_type() && fits)
    }

    fn compatible_with(&self, other: &dyn Fact) -> bool {
        other.datum_type() == Some(self.datum)
    }

    fn datum_type(&self) -> Option<DatumType> {
        Some(self.datum)
    }
}

/// An operator of the graph: tract's `Op` without its `TypedOp`, so without the optimiser.
#[derive(Clone, Debug)]
struct Kernel(Box<dyn Op>);

impl Kernel {
    fn new(operator: impl EvalOp + Clone + Send + Sync + 'static) -> Kernel {
        Kernel(Box::new(EvalOnly(operator)))
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kernel")
    }
}

impl AsRef<dyn Op> for Kernel {
    fn as_ref(&self) -> &dyn Op {
        &*self.0
    }
}

impl AsMut<dyn Op> for Kernel {
    fn as_mut(&mut self) -> &mut dyn Op {
        &mut *self.0
    }
}

/// An operator reduced to its evaluation.
#[derive(Clone)]
struct EvalOnly<O>(O);

impl<O> fmt::Debug for EvalOnly<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kernel")
    }
}

/// Compared only by passes that merge equal nodes; none runs here.
impl<O> PartialEq for EvalOnly<O> {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl<O> Eq for EvalOnly<O> {}

impl<O: EvalOp + Clone + Send + Sync + 'static> EvalOp for EvalOnly<O> {
    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(context, inputs)
    }

    fn eval_out_of_plan(&self, _: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        Ok(None)
    }
}

impl<O: EvalOp + Clone + Send + Sync + 'static> Op for EvalOnly<O> {
    fn name(&self) -> StaticName {
        "kernel".into()
    }

    /// No shape has symbols. tract's default looks for some in constants, and brings their algebra.
    fn required_bound_symbols(&self, _: &[&TypedFact]) -> TVec<Symbol> {
        tvec![]
    }

    fn as_typed(&self) -> Option<&dyn TypedOp> {
        None
    }
}

/// An operator from values to one row: what each kernel below is.
macro_rules! kernel {
    ($name:ident) => {
        impl EvalOp for $name {
            fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
                let numbers = self.apply(&inputs)?;
                Ok(tvec![value(&[1, numbers.len()], numbers)])
            }

            fn eval_out_of_plan(&self, _: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
                Ok(None)
            }
        }
    };
}

/// Hands on what the plan put in.
#[derive(Clone)]
struct Input;

impl EvalOp for Input {
    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(inputs)
    }

    fn eval_out_of_plan(&self, _: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        Ok(None)
    }
}

/// The weighted sum of rows of an int8 table. tract's Gather, Cast and MatMul would hold a copy of the table per VM, write
/// 64 kB of rows for every prompt, and bring 150 kB of code for other types.
#[derive(Clone)]
struct Bag {
    table: &'static [u8],
    width: usize,
}

impl Bag {
    fn apply(&self, inputs: &[TValue]) -> TractResult<Vec<f32>> {
        let [ids, weights] = inputs else {
            return Err(broken("a bag takes two operands"));
        };
        let (ids, weights) = (numbers_of(ids)?, numbers_of(weights)?);
        let mut sums = vec![0.0; self.width];
        pointsman_kernels::embedding_sum(self.table, ids, weights, &mut sums)
            .ok_or_else(|| broken("a token id is outside the table"))?;
        Ok(sums)
    }
}

kernel!(Bag);

/// One row, which may come in parts, times constant weights. tract's own matrix product picks its kernel when it optimises, and its
/// kernels sit in a registry that links every one of them. max(x, 0) is part of it, as tract's is the general binary operator:
/// a megabyte.
#[derive(Clone)]
struct Dense {
    weights: PackedMatrix<'static>,
    relu: bool,
}

impl Dense {
    fn apply(&self, inputs: &[TValue]) -> TractResult<Vec<f32>> {
        let mut row = SparseRow::with_capacity(self.weights.rows());
        for part in inputs {
            row.extend(numbers_of(part)?);
        }
        if row.len() != self.weights.rows() {
            return Err(broken("a row and the weights do not fit"));
        }
        let mut product = vec![0.0; self.weights.columns()];
        self.weights.gemv(&row, &mut product);
        if self.relu {
            pointsman_kernels::relu(&mut product);
        }
        Ok(product)
    }
}

kernel!(Dense);

#[cfg(test)]
mod tests;
