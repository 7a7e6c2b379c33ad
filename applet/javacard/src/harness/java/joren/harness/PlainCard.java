package joren.harness;

import com.licel.jcardsim.base.Simulator;
import com.licel.jcardsim.base.SimulatorRuntime;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import javacard.framework.AID;
import javacard.framework.Applet;

/**
 * An applet on jCardSim as that is, nothing woven: reads commands and writes answers, each after its length (u16), until there are no more.
 *
 * Arguments: protocol (T=0 or T=1), class, and in hexadecimal AID and install parameters.
 */
public final class PlainCard {
    private PlainCard() {
    }

    public static void main(String[] arguments) throws Exception {
        DataInputStream in = new DataInputStream(System.in);
        DataOutputStream out = new DataOutputStream(System.out);
        System.setOut(System.err);
        Simulator simulator = new Simulator(new SimulatorRuntime());
        simulator.changeProtocol(arguments[0]);
        Class<? extends Applet> type = Class.forName(arguments[1]).asSubclass(Applet.class);
        byte[] name = bytes(arguments[2]);
        byte[] parameters = bytes(arguments[3]);
        simulator.installApplet(new AID(name, (short) 0, (byte) name.length), type, parameters, (short) 0, (byte) parameters.length);
        while (true) {
            byte[] command;
            try {
                command = new byte[in.readUnsignedShort()];
            } catch (EOFException end) {
                return;
            }
            in.readFully(command);
            byte[] answer = simulator.transmitCommand(command);
            out.writeShort(answer.length);
            out.write(answer);
            out.flush();
        }
    }

    private static byte[] bytes(String hex) {
        byte[] bytes = new byte[hex.length() / 2];
        for (int at = 0; at < bytes.length; at++) {
            bytes[at] = (byte) Integer.parseInt(hex.substring(2 * at, 2 * at + 2), 16);
        }
        return bytes;
    }
}
