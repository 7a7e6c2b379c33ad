package joren;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * The masters of a shop card: of SHOP and of LOAD two places each, so that an old version and a new one stand side by side (REQ-SPE-2).
 *
 * How it works. A place that is free has the version 0, which is lower than any; so a new version always goes to the place of the lower
 * one. The place of a key is that of its version in keyVersions, and that of its mark in cacheStale.
 */
final class ShopMasters {
    static final short PLACES = 2;
    static final short SHOP_AT = 0;
    static final short LOAD_AT = 2;
    static final short ADMIN_AT = 4;

    private static final byte[] LABEL_SHOP = {'s', 'h', 'o', 'p'};
    private static final byte[] LABEL_LOAD = {'l', 'o', 'a', 'd'};

    private final Persistent cells;
    private final byte[] scratch;
    private final short programme;
    private final CardKey[] keys = new CardKey[Persistent.SHOP_KEYS];
    private final DerivedKey derived;

    ShopMasters(Persistent cells, byte[] scratch, short programme) {
        this.cells = cells;
        this.scratch = scratch;
        this.programme = programme;
        boolean chips = Mac.isNative();
        Mac rare = new Mac(chips, scratch);
        derived = new DerivedKey(chips, scratch);
        key(SHOP_AT, cells.keyShopMaster0, new Mac(chips, scratch), true);
        key((short) (SHOP_AT + 1), cells.keyShopMaster1, new Mac(chips, scratch), true);
        key(LOAD_AT, cells.keyLoadMaster0, rare, false);
        key((short) (LOAD_AT + 1), cells.keyLoadMaster1, rare, false);
        key(ADMIN_AT, cells.keyAdmin, rare, false);
    }

    private void key(short place, byte[] bytes, Mac mac, boolean alone) {
        keys[place] = new CardKey(bytes, cells.cacheStale, place, mac, alone);
    }

    /** Where the places of a key_ref begin. */
    static short at(byte keyRef) {
        return keyRef == Codes.KEY_LOAD ? LOAD_AT : SHOP_AT;
    }

    /** Of which key a place is (REQ-SRD-1). */
    static byte keyRef(short place) {
        return place == ADMIN_AT ? Codes.KEY_ADMIN : place < LOAD_AT ? Codes.KEY_SHOP : Codes.KEY_LOAD;
    }

    private short version(short place) {
        return (short) (cells.keyVersions[place] & Words.BYTE);
    }

    /** The place of the higher version of a key_ref. */
    private short higher(short at) {
        return version(at) >= version((short) (at + 1)) ? at : (short) (at + 1);
    }

    /** The other place of the same key_ref. */
    private static short other(short place) {
        return (short) (place ^ 1);
    }

    private boolean has(short at, byte version) {
        return cells.keyVersions[at] == version || cells.keyVersions[(short) (at + 1)] == version;
    }

    /** Derives a customer card's key of a version (00: the highest); 6A88 if it is not there. */
    void derive(byte keyRef, byte version, byte[] card, short cardOffset) {
        short at = at(keyRef);
        short place = higher(at);
        if (version != 0 && cells.keyVersions[place] != version) {
            place = other(place);
        }
        if (cells.keyVersions[place] == 0 || (version != 0 && cells.keyVersions[place] != version)) {
            ISOException.throwIt(Codes.SW_REFERENCED_DATA_NOT_FOUND);
        }
        deriveFrom(place, card, cardOffset);
    }

    private void deriveFrom(short place, byte[] card, short cardOffset) {
        derived.derive(keys[place], place < LOAD_AT ? LABEL_SHOP : LABEL_LOAD, programme, card, cardOffset);
    }

    /** The MAC of the message in the scratch under the key that was derived, at MAC. */
    void mac(short end) {
        derived.mac(end);
    }

    /** 6988 unless the 8 bytes are the MAC of the message in the scratch under the key that was derived. */
    void checkMac(short end, byte[] mac, short offset) {
        mac(end);
        Checks.mac(scratch, Transients.MAC, mac, offset);
    }

    /** 6988 unless they are under the key of any version, the highest first: the card's keys may have been renewed since (REQ-RAT-6). */
    void checkWord(byte keyRef, byte[] card, short cardOffset, short end, byte[] mac, short offset) {
        derive(keyRef, (byte) 0, card, cardOffset);
        mac(end);
        if (!Checks.same8(scratch, Transients.MAC, mac, offset)) {
            short second = other(higher(at(keyRef)));
            if (cells.keyVersions[second] == 0) {
                ISOException.throwIt(Codes.SW_MAC_INCORRECT);
            }
            deriveFrom(second, card, cardOffset);
            checkMac(end, mac, offset);
        }
    }

    /** 6988 unless they are under the ADMIN key. */
    void checkAdminMac(short end, byte[] mac, short offset) {
        keys[ADMIN_AT].mac(scratch, Transients.MESSAGE, (short) (end - Transients.MESSAGE), scratch, Transients.MAC);
        Checks.mac(scratch, Transients.MAC, mac, offset);
    }

    /** The command is over: nothing that was derived stays. */
    void forget() {
        derived.forget();
    }

    /** Whether there is a master of this key_ref. */
    boolean any(byte keyRef) {
        return cells.keyVersions[higher(at(keyRef))] != 0;
    }

    /** Stores a version, in its place, a free one or the lower version's, in the caller's transaction. */
    void put(byte keyRef, byte version, byte[] source, short offset) {
        short at = at(keyRef);
        short place = has(at, version) ? (cells.keyVersions[at] == version ? at : (short) (at + 1))
            : version(at) <= version((short) (at + 1)) ? at : (short) (at + 1);
        write(place, version, source, offset);
    }

    /** Whether a version is there, and may go: the last of SHOP may not. */
    boolean mayGo(byte keyRef, byte version) {
        short at = at(keyRef);
        return has(at, version) && (keyRef == Codes.KEY_LOAD || cells.keyVersions[other(higher(at))] != 0);
    }

    /** Wipes a version that is there, in the caller's transaction. */
    void remove(byte keyRef, byte version) {
        short at = at(keyRef);
        Util.arrayFillNonAtomic(scratch, Transients.MAC, Mac.SIZE, (byte) 0);
        write(cells.keyVersions[at] == version ? at : (short) (at + 1), (byte) 0, scratch, Transients.MAC);
    }

    void putAdmin(byte version, byte[] source, short offset) {
        write(ADMIN_AT, version, source, offset);
    }

    void loadKeys() {
        for (short at = 0; at < (short) keys.length; at++) {
            keys[at].load();
        }
    }

    private void write(short place, byte version, byte[] source, short offset) {
        cells.keyVersions[place] = version;
        keys[place].store(source, offset);
    }
}
