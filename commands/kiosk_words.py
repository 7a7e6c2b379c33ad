"""The words of the kiosk, in English and Japanese: one Words for each language."""

from dataclasses import dataclass

from joren.apdu import Kind

__all__ = ["LANGUAGES", "Words"]


@dataclass(frozen=True, slots=True)
class Words:
    """What the screens say. `{...}` are places for figures."""

    own_name: str
    card: str
    choose: str
    choose_text: str
    choose_none: str
    put_in: str
    pin: str
    pin_text: str
    pin_wrong: str
    pin_form: str
    hidden: str
    standing: str
    rank: str
    rank_of: str
    rank_next: str
    rank_top: str
    way: str
    rate: str
    points: str
    points_until: str
    purse: str
    no_purse: str
    last: str
    last_none: str
    log: str
    log_head: tuple[str, str, str, str, str, str, str]
    log_none: str
    log_pages: str
    kinds: dict[Kind, str]
    void: str
    hour: str
    new_pin: str
    old_pin_ask: str
    new_pin_ask: str
    again_ask: str
    new_pin_text: str
    unlike: str
    changed: str
    blocked: str
    blocked_text: tuple[str, str, str]
    puk: str
    puk_ask: str
    puk_text: str
    puk_wrong: str
    puk_form: str
    puk_blocked: str
    puk_blocked_text: tuple[str, str]
    not_issued: str
    card_blocked: str
    ended: str
    foreign: str
    refused: str
    faulty: str
    gone: str
    gone_changing: str
    time_up: str
    goodbye: str
    unknown_choice: str
    menu_log: str
    menu_standing: str
    menu_more: str
    menu_pin: str
    menu_puk: str
    menu_end: str
    menu_on: str


EN = Words(
    own_name="English",
    card="card {card}",
    choose="Welcome",
    choose_text="Which card is put in?",
    choose_none="There is no card yet.",
    put_in="Please put your card on the reader.",
    pin="Your PIN",
    pin_text="Please enter your PIN, 4 to 8 digits, and press Enter.",
    pin_wrong="That was another PIN. Tries left: {tries}",
    pin_form="A PIN has 4 to 8 digits.",
    hidden="What you enter is not shown.",
    standing="Your card",
    rank="Rank",
    rank_of="{rank} of {top}",
    rank_next="rank {rank} from {score}",
    rank_top="the highest there is",
    way="score {score}, {higher}",
    rate="you earn {rate} % in points",
    points="Points",
    points_until="{points} of them are lost unless used before {day}",
    purse="Purse",
    no_purse="none on this card",
    last="Last used",
    last_none="not yet",
    log="Transactions",
    log_head=("when", "what", "amount", "points", "balance", "purse", "rank"),
    log_none="There are no transactions on this card yet.",
    log_pages="{first} to {last} of {all}, the newest first",
    kinds={
        Kind.PURCHASE: "purchase",
        Kind.PAY_AND_EARN: "paid + earned",
        Kind.REDEEM: "points used",
        Kind.LOAD: "purse loaded",
        Kind.PAY: "from purse",
    },
    void="void: {kind}",
    hour="{time:%Y-%m-%d %H}h",
    new_pin="New PIN",
    old_pin_ask="PIN of now: ",
    new_pin_ask="New PIN: ",
    again_ask="New PIN once more: ",
    new_pin_text="Choose a new PIN, 4 to 8 digits.",
    unlike="The two were not the same. The PIN is as it was.",
    changed="The PIN is changed.",
    blocked="PIN blocked",
    blocked_text=(
        "The PIN of this card is blocked: it was wrong too many times.",
        "With the PUK (8 digits, in the letter with your first PIN) you set a new one.",
        "Without it: the issuer of the card can help.",
    ),
    puk="New PIN with the PUK",
    puk_ask="PUK: ",
    puk_text="Please enter the PUK, 8 digits.",
    puk_wrong="That was another PUK. Tries left: {tries}",
    puk_form="A PUK has 8 digits.",
    puk_blocked="PUK blocked",
    puk_blocked_text=("The PUK of this card is blocked: it was wrong too many times.", "Only the issuer of the card can help now."),
    not_issued="This card is not issued yet. Take it to its issuer.",
    card_blocked="This card is blocked. Ask its issuer.",
    ended="The life of this card has ended. Ask its issuer for a new one.",
    foreign="This is no card of this programme.",
    refused="The card refused: {status}. Try again; if it stays so, ask the issuer.",
    faulty="The card can not be read rightly. Try again; if it stays so, ask the issuer.",
    gone="The card was taken out. You are logged out.",
    gone_changing="Taken out during the change: either the old PIN counts or the new one.",
    time_up="Nothing was entered for a while. You are logged out.",
    goodbye="You are logged out. Please take your card.",
    unknown_choice="Please enter one of the digits below.",
    menu_log="Transactions",
    menu_standing="Rank and points",
    menu_more="More",
    menu_pin="Change PIN",
    menu_puk="New PIN with the PUK",
    menu_end="End",
    menu_on="Enter: go on",
)
JA = Words(
    own_name="日本語",
    card="カード {card}",
    choose="ようこそ",
    choose_text="どのカードを入れますか。",
    choose_none="カードがまだありません。",
    put_in="カードをリーダーに置いてください。",
    pin="暗証番号",
    pin_text="暗証番号(数字4桁から8桁)を入力し、Enterキーを押してください。",
    pin_wrong="暗証番号が違います。残り {tries} 回",
    pin_form="暗証番号は数字4桁から8桁です。",
    hidden="入力した文字は表示されません。",
    standing="お客様のカード",
    rank="ランク",
    rank_of="{rank}(最高 {top})",
    rank_next="ランク{rank}まで {score}",
    rank_top="最高ランクです",
    way="スコア {score}、{higher}",
    rate="ポイント付与率 {rate} %",
    points="ポイント",
    points_until="うち {points} は {day} より前に使わないと失効します",
    purse="チャージ残高",
    no_purse="このカードにはありません",
    last="最終ご利用",
    last_none="まだありません",
    log="ご利用履歴",
    log_head=("日時", "内容", "金額", "ポイント", "残pt", "残高", "ランク"),
    log_none="このカードのご利用履歴はまだありません。",
    log_pages="全 {all} 件中 {first} から {last}(新しい順)",
    kinds={
        Kind.PURCHASE: "購入",
        Kind.PAY_AND_EARN: "残高で購入",
        Kind.REDEEM: "ポイント利用",
        Kind.LOAD: "チャージ",
        Kind.PAY: "残高で支払い",
    },
    void="取消:{kind}",
    hour="{time:%Y-%m-%d %H}時",
    new_pin="暗証番号の変更",
    old_pin_ask="現在の暗証番号: ",
    new_pin_ask="新しい暗証番号: ",
    again_ask="新しい暗証番号(もう一度): ",
    new_pin_text="新しい暗証番号(数字4桁から8桁)を決めてください。",
    unlike="二つの番号が違います。暗証番号は変わっていません。",
    changed="暗証番号を変更しました。",
    blocked="暗証番号の停止",
    blocked_text=(
        "続けて間違えたため、このカードの暗証番号は使えません。",
        "最初の暗証番号のお知らせにあるPUK(数字8桁)で、新しい暗証番号を設定できます。",
        "PUKが分からないときは、カードの発行者にお問い合わせください。",
    ),
    puk="PUKで暗証番号を再設定",
    puk_ask="PUK: ",
    puk_text="PUK(数字8桁)を入力してください。",
    puk_wrong="PUKが違います。残り {tries} 回",
    puk_form="PUKは数字8桁です。",
    puk_blocked="PUKの停止",
    puk_blocked_text=("続けて間違えたため、このカードのPUKは使えません。", "カードの発行者にお問い合わせください。"),
    not_issued="このカードはまだ発行されていません。発行者にお問い合わせください。",
    card_blocked="このカードは停止されています。発行者にお問い合わせください。",
    ended="このカードは使えなくなりました。発行者に新しいカードをお求めください。",
    foreign="このプログラムのカードではありません。",
    refused="カードが拒否しました:{status}。もう一度お試しください。",
    faulty="カードを正しく読み取れません。もう一度お試しください。",
    gone="カードが抜かれました。終了しました。",
    gone_changing="変更中に抜かれました。元の番号か新しい番号のどちらかが有効です。",
    time_up="しばらく入力がなかったため、終了しました。",
    goodbye="終了しました。カードをお取りください。",
    unknown_choice="下の番号から選んでください。",
    menu_log="ご利用履歴",
    menu_standing="ランクとポイント",
    menu_more="次のページ",
    menu_pin="暗証番号の変更",
    menu_puk="PUKで再設定",
    menu_end="終了",
    menu_on="Enter:次へ",
)
LANGUAGES = {"en": EN, "ja": JA}
"""By language code."""
