package joren.harness;

import com.licel.jcardsim.base.ApduCase;
import com.licel.jcardsim.base.SimulatorRuntime;
import com.licel.jcardsim.base.TransientMemory;
import com.licel.jcardsim.utils.BiConsumer;
import java.util.Arrays;
import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;

/**
 * The runtime environment under every instance: jCardSim's API, made to ask the card in hand. There is one for all cards, as each of
 * jCardSim's own has 64 KiB of buffers. An instance sees whole commands, as with T=1, or what a card with T=0 sees: the header with P3, and data.
 */
final class Runtime extends SimulatorRuntime {
    private static final int ANSWER_MAX = 1024;
    private static final int NE_MAX = 256;
    private static final int HEAD_SIZE = 5;
    /** Where jCardSim keeps Le. */
    private static final int LE = 0;

    final byte[] answer = new byte[ANSWER_MAX];
    int answerSize;
    private Card card;
    private boolean isSelecting;

    Runtime() {
        activateSimulatorRuntimeInstance();
        speak(false);
    }

    /** T=0, or T=1. */
    void speak(boolean t0) {
        currentProtocol = t0 ? APDU.PROTOCOL_T0 : APDU.PROTOCOL_T1;
    }

    byte[] apduBuffer() {
        return shortAPDU.getBuffer();
    }

    /** Puts a card in: the API and the woven classes mean this one. */
    void use(Card next) {
        card = next;
        Hook.card = next;
    }

    /** Gives the applet that `install` registers. */
    Applet registered(Runnable install) {
        Applet[] found = new Applet[1];
        registrationCallback.set(new BiConsumer<Applet, AID>() {
            @Override
            public void accept(Applet applet, AID aid) {
                if (found[0] != null) {
                    throw new IllegalStateException("register: called before");
                }
                found[0] = applet;
            }
        });
        try {
            install.run();
        } finally {
            registrationCallback.remove();
        }
        if (found[0] == null) {
            throw new IllegalStateException("install: register was not called");
        }
        return found[0];
    }

    /** Calls process() with an APDU; what it sends is in `answer`. */
    void process(Applet applet, byte[] apdu, boolean select) {
        answerSize = 0;
        isSelecting = select;
        put(apdu);
        try {
            applet.process(shortAPDU);
        } finally {
            isSelecting = false;
            resetAPDU(shortAPDU, null, null);
        }
    }

    /**
     * Into the buffer. jCardSim's has no room for the Le of a command with 255 bytes of data; so it comes without, and is told of it. With T=0
     * a card does not see the Le of a command with data, and is to answer as if all were wanted.
     */
    private void put(byte[] apdu) {
        boolean unseen = currentProtocol == APDU.PROTOCOL_T0 && apdu.length > HEAD_SIZE;
        if (!unseen && apdu.length <= shortAPDU.getBuffer().length) {
            resetAPDU(shortAPDU, ApduCase.getCase(apdu), apdu);
            return;
        }
        resetAPDU(shortAPDU, ApduCase.Case3, unseen ? apdu : Arrays.copyOf(apdu, apdu.length - 1));
        int wanted = unseen ? 0 : apdu[apdu.length - 1] & 0xFF;
        ((short[]) Fields.get(Fields.find(APDU.class, "ramVars"), shortAPDU))[LE] = (short) (wanted == 0 ? NE_MAX : wanted);
    }

    @Override
    public void sendAPDU(byte[] buffer, short offset, short length) {
        System.arraycopy(buffer, offset, answer, answerSize, length);
        answerSize += length;
    }

    @Override
    public APDU getCurrentAPDU() {
        return shortAPDU;
    }

    @Override
    public boolean isAppletSelecting(Object applet) {
        return isSelecting;
    }

    @Override
    public AID getAID() {
        return card.aid;
    }

    @Override
    public TransientMemory getTransientMemory() {
        return card == null ? super.getTransientMemory() : card.ram;
    }

    @Override
    public void beginTransaction() {
        card.nvm.begin();
    }

    @Override
    public void commitTransaction() {
        card.nvm.commit();
    }

    @Override
    public void abortTransaction() {
        card.nvm.abort();
    }

    @Override
    public byte getTransactionDepth() {
        return (byte) (card.nvm.isOpen() ? 1 : 0);
    }

    @Override
    public short getUnusedCommitCapacity() {
        return (short) card.nvm.roomLeft();
    }

    @Override
    public short getMaxCommitCapacity() {
        return (short) card.nvm.capacity();
    }

    /** What was answered, with its status word. */
    byte[] answered(int sw) {
        byte[] all = Arrays.copyOf(answer, answerSize + 2);
        all[answerSize] = (byte) (sw >> 8);
        all[answerSize + 1] = (byte) sw;
        return all;
    }
}
