package joren;

/** A card's side of personalization. */
interface Personalizable {
    byte UNKNOWN = 0;
    /** Taken before the card is issued; taken after; both are bits. */
    byte FIRST = 1;
    byte LATER = 2;

    /** When a DGI is taken, or UNKNOWN. */
    byte taken(short tag);

    /** Stores the value of a DGI in the caller's transaction; 6A80 for one that can not be. */
    void store(short tag, byte[] value, short offset, short length);

    /** What was stored has been committed: loads the keys. */
    void loadKeys();

    /** Whether all is there that the card needs. */
    boolean isComplete();

    /** Whether the versions of its keys go together. */
    boolean isConsistent();
}
