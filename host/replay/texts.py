"""The words of the page, in English and Japanese: one Words for each language."""

from dataclasses import dataclass

__all__ = ["LANGUAGES", "Words"]


@dataclass(frozen=True, slots=True)
class Words:
    """What the page says. `{...}` are places for figures."""

    title: str
    lead: str
    purchases: str
    cards: str
    one_card: str
    two_card: str
    gini: str
    auc: str
    rank: str
    cards_per_rank: str
    cards_per_rank_text: str
    at_cut: str
    at_end: str
    points: str
    points_text: str
    granted: str
    owed: str
    spending: str
    spending_text: str
    gain: str
    gain_text: str
    gain_across: str
    gain_up: str
    chance: str
    no_gain: str
    history: str
    history_text: str
    rank_from: str
    bought: str
    table: str
    table_head: tuple[str, ...]
    books: str
    books_text: str
    flipped_refused: str
    flipped_accepted: str
    agree: str
    disagree: str
    times: str
    times_text: str
    times_of: str
    wires: dict[str, str]
    memory: str
    memory_text: str
    memory_head: tuple[str, ...]
    memory_of: dict[str, str]
    no_end: str


EN = Words(
    title="What the cards knew",
    lead="{source}: every purchase was played through simulated smart cards, APDU by APDU, with full cryptography. The rank is computed on "
    "the card. At the end of {cut} the cards were read; what customers bought after that day shows what the rank was worth.",
    purchases="purchases",
    cards="cards",
    one_card="computing themselves",
    two_card="with a shop card",
    gini="Gini of the score",
    auc="AUC of coming back",
    rank="rank {rank}",
    cards_per_rank="Customers per rank",
    cards_per_rank_text="Where the cards stood when they were read, and where they stand at the end of the log.",
    at_cut="at the cut",
    at_end="at the end",
    points="Points granted and still owed",
    points_text="By the rank at the end. What is owed stands on the cards and can still be redeemed; the rest has expired.",
    granted="granted",
    owed="still owed",
    spending="Spending after the cut, per card",
    spending_text="The mean a card of each rank spent after {cut}. The rank was fixed before.",
    gain="Gain curve",
    gain_text="Cards in order of their score at the cut, best first: which share of the later spending they account for. Gini {gini}.",
    gain_across="share of the cards",
    gain_up="share of the spending after the cut",
    chance="chance",
    no_gain="Nothing was bought after the cut, so there is nothing to foretell.",
    history="One customer's score over time",
    history_text="Card {card}: each dot is a purchase; in between the score falls with its half-life, as the card tells it.",
    rank_from="rank {rank}",
    bought="{day}: bought, score {score}, rank {rank}",
    table="The figures",
    table_head=("rank", "cards", "spent after", "per card", "bought again", "cards at the end", "points granted", "points owed"),
    books="The books",
    books_text="Points granted: {cards} in the cards' own logs, {tills} by shop cards and tills, {receipts} in receipts. Receipts verified "
    "with the issuer's key: {verified} of {purchases}; with one bit flipped: {flipped}.",
    flipped_refused="refused",
    flipped_accepted="ACCEPTED",
    agree="The books agree.",
    disagree="The books do not agree.",
    times="How long a tap takes",
    times_text="On {profile}, at {wire}: the share of the taps, in %, by their modelled time in ms. Every cost is drawn anew "
    "from its band at each tap, so the width is what is not known of the card as well as what differs from tap to tap.",
    times_of="{kind}: {taps} taps, half of them within {median} ms, 95 % within {p95} ms",
    wires={"t0": "T=0", "t1": "T=1"},
    memory="How long the memory lasts",
    memory_text="The most used card of each kind on {profile}: writes to its hottest page, and when that page is at its end, or the "
    "customer card's counter of 65,535 transactions, whichever is first.",
    memory_head=("card", "taps played", "writes per tap", "taps a day", "years"),
    memory_of={"customer": "customer card", "shop": "shop card"},
    no_end="no end",
)
JA = Words(
    title="カードが知っていたこと",
    lead="{source}:すべての購入を、シミュレートしたICカードにAPDU単位で、暗号処理もすべて行って通しました。ランクはカード自身が計算します。"
    "{cut} の終わりにカードを読み取りました。その後の購入が、ランクの価値を示します。",
    purchases="購入",
    cards="カード",
    one_card="カード単独で計算",
    two_card="店舗カードを使用",
    gini="スコアのジニ係数",
    auc="再来店のAUC",
    rank="ランク{rank}",
    cards_per_rank="ランク別の顧客数",
    cards_per_rank_text="読み取り時点のランクと、記録の最後でのランク。",
    at_cut="読み取り時",
    at_end="最終時点",
    points="付与したポイントと未使用残高",
    points_text="最終時点のランク別。残高はカードにあり、まだ使えます。残りは期限切れです。",
    granted="付与",
    owed="未使用残高",
    spending="読み取り後のカード1枚あたり購入額",
    spending_text="{cut} より後に、各ランクのカードが使った額の平均。ランクはその前に決まっています。",
    gain="ゲイン曲線",
    gain_text="読み取り時のスコアが高い順にカードを並べ、その後の購入額に占める割合を示します。ジニ係数 {gini}。",
    gain_across="カードの割合",
    gain_up="読み取り後の購入額の割合",
    chance="無作為",
    no_gain="読み取り後に購入がないため、予測の評価はありません。",
    history="ある顧客のスコアの推移",
    history_text="カード {card}:点は購入。購入のない間、スコアは半減期に従って下がります(カードの回答による)。",
    rank_from="ランク{rank}",
    bought="{day}:購入、スコア {score}、ランク {rank}",
    table="数値",
    table_head=("ランク", "カード", "その後の購入額", "1枚あたり", "再購入", "最終時点のカード", "付与ポイント", "残ポイント"),
    books="帳簿",
    books_text="付与ポイント:カードの記録 {cards}、店舗カードと端末 {tills}、レシート {receipts}。発行者の鍵で検証したレシート:"
    "{purchases} 件中 {verified} 件。1ビット反転したもの:{flipped}。",
    flipped_refused="拒否",
    flipped_accepted="受理",
    agree="帳簿は一致しています。",
    disagree="帳簿が一致していません。",
    times="1回のタップにかかる時間",
    times_text="{profile}、通信 {wire}:モデルによるタップ時間(ms)ごとの割合。各費用はタップごとにその幅の中から引き直しているため、"
    "広がりはタップごとの差とともに、カードについて分かっていないことも示します。",
    times_of="{kind}:{taps} 回、半数は {median} ms 以内、95 % は {p95} ms 以内",
    wires={"t0": "T=0", "t1": "T=1"},
    memory="メモリの寿命",
    memory_text="{profile} で最も使われたカード:最も書き込まれたページの書き込み回数と、その寿命"
    "(顧客カードは65,535取引の上限が先ならそれまで)。",
    memory_head=("カード", "タップ数", "1タップの書き込み", "1日のタップ", "年数"),
    memory_of={"customer": "顧客カード", "shop": "店舗カード"},
    no_end="限りなし",
)
LANGUAGES = {"en": EN, "ja": JA}
"""By language code; the first is the one that is shown where the reader's own is none of them."""
