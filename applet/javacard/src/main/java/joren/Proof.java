package joren;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/** PROVE: what became of a transaction (REQ-PRV-1 to REQ-PRV-3). */
final class Proof {
    private static final short CHALLENGE_SIZE = 8;
    private static final short NAMED_SIZE = 8;
    /** Counter asked, shop, sequence, challenge. */
    static final short DATA_SIZE = 2 + NAMED_SIZE + CHALLENGE_SIZE;
    /** Ending, counter now, nonce; then record, receipt, proof, or the MAC of absence, which is shorter. */
    static final short ANSWER_SIZE = 3 + Transients.NONCE_SIZE + Codes.RECORD_SIZE + 2 * CustomerMemory.MAC_SIZE;

    private static final short ASKED = ISO7816.OFFSET_CDATA;
    private static final short NAMED = ASKED + 2;
    private static final short LOGGED = Transients.RECORD + Codes.RECORD_ORDER + Codes.ORDER_SHOP;

    private final CustomerMemory memory;
    private final byte[] scratch;
    private final byte[] session;

    Proof(CustomerMemory memory) {
        this.memory = memory;
        scratch = memory.ram.scratch;
        session = memory.ram.session;
    }

    short prove(byte[] buffer, byte ref) {
        memory.checkKey(ref);
        short asked = Util.getShort(buffer, ASKED);
        short counter = memory.counter();
        if (Words.below(counter, asked)) {
            ISOException.throwIt(Codes.SW_WRONG_DATA);
        }
        memory.drawNonce();
        byte ending = Codes.ENDING_NOT_COMMITTED;
        if (Words.below(Codes.LOG_RECORDS, (short) (counter - asked))) {
            ending = Codes.ENDING_UNKNOWN;
        } else if (asked != counter) {
            memory.fetchRecord(asked);
            if (scratch[Transients.RECORD + Codes.RECORD_KEY_REF] == ref
                && Util.arrayCompare(buffer, NAMED, scratch, LOGGED, NAMED_SIZE) == 0) {
                short at = begin(buffer, Codes.ENDING_COMMITTED);
                at = Util.arrayCopyNonAtomic(scratch, Transients.RECORD, buffer, at, Codes.RECORD_SIZE);
                return memory.proof(buffer, memory.receipt(buffer, at));
            }
        }
        return absence(buffer, ref, ending);
    }

    private short absence(byte[] buffer, byte ref, byte ending) {
        short at = memory.head(Codes.USE_ABSENCE);
        scratch[at++] = ref;
        at = Util.arrayCopyNonAtomic(buffer, ASKED, scratch, at, DATA_SIZE);
        short end = begin(buffer, ending);
        at = Util.arrayCopyNonAtomic(buffer, (short) 0, scratch, at, end);
        memory.mac(ref, at);
        return Util.arrayCopyNonAtomic(scratch, Transients.MAC, buffer, end, CustomerMemory.MAC_SIZE);
    }

    /** Begins the answer, over the command: ending, counter now, nonce. Where it goes on. */
    private short begin(byte[] buffer, byte ending) {
        buffer[0] = ending;
        short at = Util.setShort(buffer, (short) 1, memory.counter());
        return Util.arrayCopyNonAtomic(session, Transients.NONCE, buffer, at, Transients.NONCE_SIZE);
    }
}
