offer-valid-until = صالح حتى { $date }.
email-reason = تتلقى هذه الرسالة من { $brand } لأنك من عملائنا ووافقت على تلقي العروض.
email-security = لن يصلك أبدًا من { $brand } أي طلب للرقم السري أو كلمة المرور عبر البريد الإلكتروني.
email-unsubscribe = إيقاف العروض عبر البريد الإلكتروني

sms-opt-out = للإيقاف أرسل STOP

page-subscribed-title = { $channel ->
    [sms] هل تريد إيقاف العروض عبر الرسائل النصية؟
   *[email] هل تريد إيقاف العروض عبر البريد الإلكتروني؟
}
page-subscribed-text = { $channel ->
    [sms] اضغط على الزر للتوقف عن تلقي عروض { $brand } عبر الرسائل النصية. لن يتغير أي شيء آخر.
   *[email] اضغط على الزر للتوقف عن تلقي عروض { $brand } عبر البريد الإلكتروني. لن يتغير أي شيء آخر.
}
page-unsubscribe-button = إلغاء الاشتراك
page-opted-out-title = تم إلغاء اشتراكك
page-opted-out-text = { $channel ->
    [sms] لن تصلك عروض أخرى من { $brand } عبر الرسائل النصية. قد يصلك عرض أُرسل من قبل.
   *[email] لن تصلك عروض أخرى من { $brand } عبر البريد الإلكتروني. قد يصلك عرض أُرسل من قبل.
}
page-subscribe-button = أرسلوا لي العروض من جديد
page-form-expired-title = يرجى الضغط على الزر مرة أخرى
page-form-expired-text = { $minutes ->
    [zero] بقيت هذه الصفحة مفتوحة مدة طويلة.
    [one] بقيت هذه الصفحة مفتوحة أكثر من دقيقة.
    [two] بقيت هذه الصفحة مفتوحة أكثر من دقيقتين.
    [few] بقيت هذه الصفحة مفتوحة أكثر من { $minutes } دقائق.
    [many] بقيت هذه الصفحة مفتوحة أكثر من { $minutes } دقيقة.
   *[other] بقيت هذه الصفحة مفتوحة أكثر من { $minutes } دقيقة.
} هل تريد تلقي عروض { $brand } من جديد؟
page-subscribed-again-title = أهلًا بعودتك
page-subscribed-again-text = { $channel ->
    [sms] ستتلقى عروض { $brand } عبر الرسائل النصية من جديد.
   *[email] ستتلقى عروض { $brand } عبر البريد الإلكتروني من جديد.
}
page-not-found-title = هذا الرابط لا يعمل
page-not-found-text = يرجى فتح الرابط الموجود في نهاية الرسالة مرة أخرى والتأكد من أنه كامل.
page-unavailable-title = يرجى المحاولة بعد قليل
page-unavailable-text = عذرًا، تعذر ذلك الآن. لم يتغير أي شيء.
