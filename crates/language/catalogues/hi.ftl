offer-valid-until = { $date } तक मान्य।
email-reason = { $brand } की ओर से यह ईमेल आपको इसलिए मिला है क्योंकि आप ग्राहक हैं और आपने ऑफ़र पाने की सहमति दी है।
email-security = { $brand } की ओर से ईमेल पर आपका पिन या पासवर्ड कभी नहीं माँगा जाता।
email-unsubscribe = ईमेल पर ऑफ़र पाना बंद करें

sms-opt-out = बंद करने के लिए STOP भेजें

page-subscribed-title = { $channel ->
    [sms] क्या आप SMS पर ऑफ़र पाना बंद करना चाहते हैं?
   *[email] क्या आप ईमेल पर ऑफ़र पाना बंद करना चाहते हैं?
}
page-subscribed-text = { $channel ->
    [sms] { $brand } के ऑफ़र SMS पर बंद करने के लिए बटन दबाएँ। बाकी कुछ नहीं बदलेगा।
   *[email] { $brand } के ऑफ़र ईमेल पर बंद करने के लिए बटन दबाएँ। बाकी कुछ नहीं बदलेगा।
}
page-unsubscribe-button = ऑफ़र बंद करें
page-opted-out-title = आपके लिए ऑफ़र बंद कर दिए गए हैं
page-opted-out-text = { $channel ->
    [sms] { $brand } की ओर से अब आपको SMS पर ऑफ़र नहीं भेजे जाएँगे। जो ऑफ़र भेजा जा चुका है, वह अब भी पहुँच सकता है।
   *[email] { $brand } की ओर से अब आपको ईमेल पर ऑफ़र नहीं भेजे जाएँगे। जो ऑफ़र भेजा जा चुका है, वह अब भी पहुँच सकता है।
}
page-subscribe-button = मुझे फिर से ऑफ़र भेजें
page-form-expired-title = कृपया बटन एक बार और दबाएँ
page-form-expired-text = { $minutes ->
    [one] यह पेज { $minutes } मिनट से ज़्यादा समय तक खुला रहा।
   *[other] यह पेज { $minutes } मिनट से ज़्यादा समय तक खुला रहा।
} क्या आप { $brand } के ऑफ़र फिर से पाना चाहते हैं?
page-subscribed-again-title = आपका फिर से स्वागत है
page-subscribed-again-text = { $channel ->
    [sms] आपको { $brand } के ऑफ़र SMS पर फिर से मिलेंगे।
   *[email] आपको { $brand } के ऑफ़र ईमेल पर फिर से मिलेंगे।
}
page-not-found-title = यह लिंक काम नहीं कर रहा है
page-not-found-text = कृपया संदेश के अंत में दिया गया लिंक फिर से खोलें और देख लें कि वह पूरा है।
page-unavailable-title = कृपया थोड़ी देर बाद फिर कोशिश करें
page-unavailable-text = क्षमा करें, अभी यह नहीं हो सका। कुछ भी नहीं बदला है।
