// Package tensor is the arithmetic under the trainer: dense tensors with
// reverse-mode gradients on a CPU, and the forward graphs by which a trained
// model leaves the process that trained it.
//
// # Letters
//
// Shapes use one alphabet: B batch, T time (tokens in a row), C channels of the
// residual stream, V vocabulary, L layers, NH query heads, NKV key heads, D
// channels per head; M, N, K are the sides of a matrix product. A gradient is d
// and the name: dx has the shape of x.
//
// # Using it
//
// A [Device] owns memory, threads and kernels. [Device.Param] makes a trained
// leaf once; a step then reads
//
//	dev.Reset()
//	loss := model(dev.Ints(x, b, t)).CrossEntropy(dev.Ints(y, b, t), 0)
//	loss.Backward()
//	dev.Scope(func() { ... tensor.AdamW(p, m, v, options) ... })
//	dev.ZeroGrad()
//
// Operations run at once (eagerly). Their results live in an arena until the
// next Reset, so a step allocates no memory once the first has run; what is made
// inside a [Device.Scope] lives until its end. Params, states and constants
// persist; checkpoints hold [Device.Persistent].
//
// Optimizers are programs over the same operations: gradients are tensors
// ([Tensor.Grad]), moments are States that [Tensor.Lerp], [Tensor.AddScaled] and
// their like change in place. optimizers_test.go has Lion, Adafactor and
// Shampoo, recipes_test.go the layers that people try, each a few lines.
//
// Tensors are float32, row-major and contiguous; ids are int32. Elementwise
// operations broadcast as numpy does.
//
// # What there is
//
// Methods are registered operations, which a backend implements, or short
// programs over them (compose.go), which it gets for nothing.
//
//	elementwise   Add Sub Mul Div Maximum Minimum Greater GreaterEqual Less
//	              LessEqual Equal Where AddScalar Scale Neg Exp Log Sqrt Rsqrt
//	              Square Pow Reciprocal Abs Sign Floor Sin Cos Erf AtLeast AtMost
//	              Clamp Dropout
//	activations   Relu ReluSquare LeakyRelu Elu Silu Gelu GeluErf Tanh Sigmoid
//	              LogSigmoid Softplus Softcap
//	norms         RMSNorm LayerNorm GroupNorm L2Norm
//	along an axis Sum Mean Var Max Min LogSumExp CumSum Scan
//	the last axis Softmax LogSoftmax TopK ArgMax
//	products      MatMul MatMulT CausalMatMul CausalSolve ExpertMatMul
//	shape         Reshape Permute Transpose Slice Split Concat Stack Shift Roll
//	              Repeat Tile BroadcastTo Detach
//	ids           Embed Gather ScatterAdd OneHot ToFloat HashIDs
//	time          Attention RoPE CausalConv CausalMask CausalSoftmax
//	training only CrossEntropy LinearCrossEntropy Custom
//
// Anything between tokens that Attention is not goes through the causal
// operations: scores [B,NH,T,T] may be computed and changed in any way (softcap,
// biases, decays), since CausalSoftmax and CausalMatMul read no score of a later
// token. Without the softmax that is linear attention, with CausalSolve its
// delta rule; [Tensor.Scan] is the recurrent form, and state space models. A
// mixture of experts is TopK and ExpertMatMul. What is missing can be trained as
// [Custom], in plain Go with its own backward, but not exported.
//
// # Devices and precision
//
// [Config] says where tensors live. On an NVIDIA GPU (Device "cuda", in programs
// built with the tag cuda; see packages gpu and trainer/tensor/cuda) the same
// program runs unchanged: operations are launched one after the other and do not
// wait, Host, HostTo, Item and Norm do. An operation without a kernel runs its
// Go code on copies; [Device.HostOps] names those that did. Memory of the GPU is
// given back at Reset, at the end of a Scope and, gradients of what is computed,
// in Backward.
//
// Precision float32 is exact; tfloat32 lets products round their inputs to 10
// bits. In bfloat16, mixed precision, leaves (Param, State, Const), what is given
// (Floats, Zeros), losses, sums, means and maxima are float32; products, Attention
// and Embed give bfloat16, and so does what is made of that alone: the stream of a
// model. gpu_types.go has the rule. A gradient has the type of its tensor, so
// those of Params are float32, and optimizers work in float32. Sums are formed in
// float32 everywhere, and a value is rounded when it is stored. Products of a
// Param read a copy in bfloat16, which is renewed when the Param has changed.
// Host, HostTo and SetHost speak float32 whatever the type.
//
// Faults of a GPU (no memory left, a lost device) panic with a *gpu.Error, in
// [Graph.Run] too: they are not the graph's fault. [Open] returns them.
//
// # Determinism
//
// The same operations on the same values give the same bits with the same
// kernels, whatever the threads do: each result is computed by one thread in
// one fixed order.
//
// # One registry
//
// Every operation is an [Op]: name, attributes, shape inference, forward,
// backward. Eager calls, the graph of [Device.Trace] and [Graph.Run] share it.
// Package tensortest holds a second implementation of each in float64 and checks
// any backend against it, through the interface of this package: values,
// gradients, the NaN rule, determinism, lifetimes, memory, messages. An operation
// without a case there fails the tests.
//
// # The NaN rule
//
// The evaluator proves that a model does not look ahead by poisoning later
// tokens and asking for finite logits before them. So in every exportable
// operation an output element is NaN if any input element that it could depend
// on is NaN, whatever the values of masks, conditions, indices and zeros: 0*NaN
// is NaN, Where is NaN if either side is, Gather is NaN if anything it could
// have picked is. The reverse holds too: what an output cannot depend on does
// not reach it; Attention at t is untouched by anything after t. Ids carry the
// rule as [PoisonID].
//
// # Errors
//
// Mistakes of the program (shapes, axes, names, use after Reset) panic with a
// [*Error] that prints the operation, what it got, what it wants and, where that
// can be known, what to change; the harness recovers it once. What comes from outside returns errors: [Open], [Parse],
// [Graph.Run], [ReadSafetensors], and [Device.Trace] with [*NotExportable].
package tensor
