package joren.harness;

/** How a command ended: with an answer, with a fault of the applet's program, or with the power gone. */
final class Outcome {
    final byte[] answer;
    final String fault;

    private Outcome(byte[] answer, String fault) {
        this.answer = answer;
        this.fault = fault;
    }

    static Outcome answer(byte[] answer) {
        return new Outcome(answer, null);
    }

    static Outcome fault(String text) {
        return new Outcome(null, text);
    }

    static Outcome cut() {
        return new Outcome(null, null);
    }

    int status() {
        return answer == null ? 0 : (answer[answer.length - 2] & 0xFF) << 8 | (answer[answer.length - 1] & 0xFF);
    }
}
