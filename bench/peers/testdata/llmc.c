// Lets llm.c take training steps when the driver says so, with a model of the
// driver's size instead of a checkpoint: L, C, NH, T, V, B are its arguments.
#define TESTING
#include "train_gpt2.c"

int main(int argc, char** argv) {
    (void)argc;
    int L = atoi(argv[1]), C = atoi(argv[2]), NH = atoi(argv[3]), T = atoi(argv[4]), V = atoi(argv[5]), B = atoi(argv[6]);
    GPT2 model = {0};
    model.config = (GPT2Config){.max_seq_len = T, .vocab_size = V, .padded_vocab_size = (V + 127) / 128 * 128,
                                .num_layers = L, .num_heads = NH, .channels = C};
    fill_in_parameter_sizes(model.param_sizes, model.config);
    for (int i = 0; i < NUM_PARAMETER_TENSORS; i++) model.num_parameters += model.param_sizes[i];
    model.params_memory = malloc_and_point_parameters(&model.params, model.param_sizes);
    for (size_t i = 0; i < model.num_parameters; i++) model.params_memory[i] = 0.04f * (rand() / (float)RAND_MAX - 0.5f);
    int* tokens = malloc((B * T + 1) * sizeof(int));
    FILE* driver = fdopen(3, "w");
    fprintf(driver, "ready\n");
    fflush(driver);
    for (int n, step = 0; scanf("%d", &n) == 1;) {
        for (; n > 0; n--) {
            for (int i = 0; i <= B * T; i++) tokens[i] = rand() % V;
            gpt2_forward(&model, tokens, tokens + 1, B, T);
            gpt2_zero_grad(&model);
            gpt2_backward(&model);
            gpt2_update(&model, 1e-4f, 0.9f, 0.999f, 1e-8f, 0.0f, ++step);
        }
        fprintf(driver, "done\n");
        fflush(driver);
    }
    return 0;
}
